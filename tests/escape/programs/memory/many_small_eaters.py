# Promise: memory is summed over all processes, each of which stays below the limit.
# limits: memory_bytes=64MiB
# policies: default build nested
# expect: limit memory_bytes
import os
import time

for _ in range(12):
    if os.fork() == 0:
        held = b"x" * (12 << 20)
        time.sleep(1)
        os._exit(len(held) >> 30)
together = [os.wait()[1] for _ in range(12)].count(0) * 12
if together > 64:
    print(f"BROKEN small processes had {together} MiB together")
