# Promise: what lies unread in pipes counts as the program's memory.
# limits: memory_bytes=32MiB
# rungs: v2 v1
# expect: limit memory_bytes | exited 0
import fcntl
import os
from contextlib import suppress

block = b"x" * (1 << 20)
held = 0
for _ in range(100):
    _, end = os.pipe()
    os.set_blocking(end, False)
    with suppress(OSError):  # a user's pipes have a bound in all
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 1 << 20)
    with suppress(BlockingIOError):
        held += os.write(end, block)
print("HELD" if held < 32 << 20 else "BROKEN", f"{held >> 20} MiB lie in pipes")
