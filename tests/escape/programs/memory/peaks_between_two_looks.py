# Promise: a peak that passes between two looks is bounded by what the host counts, again and again.
# limits: memory_bytes=64MiB cpu_time=2s wall_time=4s
# rungs: v2 v1
# expect: limit memory_bytes
import mmap

# Up and down within milliseconds: a limit that only looks now and then would never see it.
for _ in range(20):
    room = mmap.mmap(-1, 96 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, len(room), 4096):
        room[offset] = 1
    room.close()
print("BROKEN 96 MiB were there, twenty times")
