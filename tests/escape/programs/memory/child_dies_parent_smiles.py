# Promise: a child that the kernel ends for memory is told, though the parent exits with 0.
# limits: memory_bytes=64MiB
# policies: default build nested
# rungs: v2 v1
# expect: limit memory_bytes
# check: oom_kills 1
import os

child = os.fork()
if child == 0:
    held = [b"x" * (8 << 20) for _ in range(24)]
    os._exit(len(held))
status = os.waitpid(child, 0)[1]
if os.WIFEXITED(status):
    print(f"BROKEN the child had {os.WEXITSTATUS(status) * 8} MiB")
