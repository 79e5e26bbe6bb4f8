# Promise: the memory that is standard input can be neither changed nor grown.
# stdin: what was sent

import errno
import fcntl
import mmap
import os

CONTENT = os.pread(0, 100, 0)
REFUSED = {errno.EPERM, errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.EBUSY}


def reopened():
    return os.open("/proc/self/fd/0", os.O_RDWR)


def mapped(fd):
    mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)[0:4] = b"evil"


ATTEMPTS = {
    "write": lambda: os.pwrite(0, b"evil", 0),
    "truncate": lambda: os.ftruncate(0, 0),
    "write, opened again": lambda: os.pwrite(reopened(), b"evil", 0),
    "grow, opened again": lambda: os.ftruncate(reopened(), 1 << 20),
    "truncate by path": lambda: os.truncate("/proc/self/fd/0", 0),
    "map to write": lambda: mapped(0),
    "map to write, opened again": lambda: mapped(reopened()),
    "fallocate, opened again": lambda: os.posix_fallocate(reopened(), 0, 1 << 20),
    "unseal": lambda: fcntl.fcntl(0, fcntl.F_ADD_SEALS, 0),
}
if CONTENT != b"what was sent":
    print("BROKEN standard input is", CONTENT)
for what, attempt in ATTEMPTS.items():
    try:
        attempt()
        number = 0
    except OSError as error:
        number = error.errno
    changed = os.pread(0, 100, 0) != CONTENT or os.fstat(0).st_size != len(CONTENT)
    if changed or (number and number not in REFUSED):
        print("BROKEN", what, number)
    else:
        print(f"HELD {what}:", errno.errorcode.get(number, "no effect"))
