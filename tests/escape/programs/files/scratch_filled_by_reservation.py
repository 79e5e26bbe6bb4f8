# Promise: space reserved by fallocate, written or not, counts against scratch_bytes.
# limits: scratch_bytes=2MiB file_size_bytes=1GiB
import ctypes
import errno
import os

KEEP_SIZE, FALLOCATE = 1, 285
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("reserved", os.O_CREAT | os.O_RDWR)
for mode in (0, KEEP_SIZE):
    for size in (64 << 20, 1 << 29, 1 << 62):
        result = libc.syscall(FALLOCATE, fd, mode, ctypes.c_long(0), ctypes.c_long(size))
        number = ctypes.get_errno()
        blocks = os.fstat(fd).st_blocks * 512
        refused = result == -1 and number in {errno.ENOSPC, errno.EFBIG} and blocks <= 3 << 20
        print("HELD" if refused else "BROKEN", f"{size} bytes, mode {mode}: {blocks} are held")
