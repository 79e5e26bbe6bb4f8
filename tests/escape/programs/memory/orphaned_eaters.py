# Promise: memory of orphans counts.
# limits: memory_bytes=64MiB
# policies: default build nested
# expect: limit memory_bytes
import os
import time

sated, tell = os.pipe()
for _ in range(8):
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            held = b"x" * (20 << 20)
            time.sleep(1)
            os.write(tell, held[:1])
        os._exit(0)
    os.waitpid(child, 0)
os.close(tell)
together = 0
while os.read(sated, 1):
    together += 20
if together > 64:
    print(f"BROKEN orphans had {together} MiB together")
