# Promise: a program starts with three descriptors, none of which leads to the host.

import fcntl
import os
import stat

MAX = 4096
open_fds = []
for fd in range(MAX):
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
        open_fds.append(fd)
    except OSError:
        continue
print("HELD" if open_fds == [0, 1, 2] else "BROKEN", "descriptors are open:", *open_fds)

for fd in open_fds:
    status, target = os.fstat(fd), os.readlink(f"/proc/self/fd/{fd}")
    harmless = (
        stat.S_ISFIFO(status.st_mode)
        or target == "/dev/null"
        or target.startswith(("/memfd:", "/dev/pts/"))
    )
    flags = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    print("HELD" if harmless else "BROKEN", f"descriptor {fd} is {target}, mode {flags}")
