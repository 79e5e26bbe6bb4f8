# Promise: who ignores the signal is refused bytes beyond file_size_bytes, by every way of growing.
# limits: file_size_bytes=1MiB
import errno
import os
import signal

LIMIT = 1 << 20
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
fd = os.open("big", os.O_CREAT | os.O_RDWR)
WAYS = {
    "truncate": lambda: os.ftruncate(fd, LIMIT + 1),
    "terabytes": lambda: os.ftruncate(fd, 8 << 40),
    "write at the limit": lambda: os.pwrite(fd, b"x", LIMIT),
    "write far beyond": lambda: os.pwrite(fd, b"x", 1 << 50),
    "reserve": lambda: os.posix_fallocate(fd, 0, LIMIT + 1),
}
for way, grow in WAYS.items():
    try:
        grow()
        reason = "done"
    except OSError as error:
        reason = errno.errorcode[error.errno]
    size = os.fstat(fd).st_size
    print("HELD" if size <= LIMIT and reason == "EFBIG" else "BROKEN", f"{way}: {reason}, {size}")
