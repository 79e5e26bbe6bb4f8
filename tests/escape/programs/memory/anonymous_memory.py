# Promise: a program that fills memory ends at memory_bytes.
# limits: memory_bytes=64MiB
# expect: limit memory_bytes
import time

held = []
while len(held) < 24:
    held.append(b"x" * (8 << 20))
time.sleep(1)
print("BROKEN 192 MiB are there")
