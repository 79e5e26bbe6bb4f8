# Promise: limits_touched names scratch_bytes only if the space is full: no sparse file makes it so.
# limits: scratch_bytes=8MiB file_size_bytes=1GiB

import os

fd = os.open("/tmp/sparse", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 1 << 29)
space = os.statvfs("/workspace")
print("HELD" if space.f_bavail else "BROKEN", space.f_bavail, "blocks are free under a large file")
for path in ("/tmp", "/dev/shm", "/workspace"):
    same = os.statvfs(path).f_blocks * os.statvfs(path).f_frsize
    print("HELD" if same <= 9 << 20 else "BROKEN", path, "has", same, "bytes in all")
