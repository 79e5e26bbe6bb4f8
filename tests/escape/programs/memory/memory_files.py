# Promise: anonymous memory files count as the program's memory, mapped or not.
# limits: memory_bytes=32MiB
# rungs: v2 v1
# expect: limit memory_bytes
import os

block = b"x" * (1 << 20)
for number in range(8):
    fd = os.memfd_create(f"hidden-{number}")
    for _ in range(16):
        os.write(fd, block)
print("BROKEN 128 MiB are in memory files")
