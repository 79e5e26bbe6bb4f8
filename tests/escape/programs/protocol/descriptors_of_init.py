# Promise: none of init's descriptors, its channel among them, can be taken from it.

import ctypes
import errno
import os

PIDFD_OPEN, PIDFD_GETFD = 434, 438
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOENT, errno.ENOSYS, errno.EBADF, errno.ESRCH}
libc = ctypes.CDLL(None, use_errno=True)
pidfd = libc.syscall(PIDFD_OPEN, 1, 0)
taken = [fd for fd in range(64) if libc.syscall(PIDFD_GETFD, pidfd, fd, 0) >= 0]
number = ctypes.get_errno()
known = number in REFUSED
print("BROKEN" if taken or not known else "HELD", "pidfd_getfd:", os.strerror(number), *taken)

for place in ("/proc/1/fd", "/proc/1/fdinfo", "/proc/1/map_files", "/proc/1/task/1/fd"):
    try:
        print("BROKEN", place, "lists", os.listdir(place))
    except OSError as error:
        print("HELD" if error.errno in REFUSED else "BROKEN", f"{place}:", error.strerror)
opened = []
for fd in range(64):
    try:
        opened.append(os.open(f"/proc/1/fd/{fd}", os.O_RDWR))
    except OSError as error:
        if error.errno not in REFUSED:
            print("BROKEN an odd error:", fd, error.strerror)
print("BROKEN" if opened else "HELD", "no descriptor was opened by its link", *opened)
