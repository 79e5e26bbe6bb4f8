# Promise: shared memory that dead children filled counts.
# limits: memory_bytes=32MiB
# policies: default build nested
# rungs: v2 v1
# expect: limit memory_bytes
import mmap
import os

ROOM, PART = 128 << 20, 8 << 20
room = mmap.mmap(-1, ROOM)
block = b"x" * (1 << 20)
for start in range(0, ROOM, PART):
    if os.fork() == 0:
        for offset in range(start, start + PART, len(block)):
            room[offset : offset + len(block)] = block
        os._exit(0)
    if os.wait()[1] != 0:
        break  # the kernel ended this child for memory
else:
    print("BROKEN 128 MiB were filled by children that are gone")
