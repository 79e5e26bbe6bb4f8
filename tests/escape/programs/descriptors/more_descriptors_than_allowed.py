# Promise: open_file_count holds for every way to a descriptor, and cannot be raised.
# limits: open_file_count=32

import errno
import fcntl
import os
import resource

COUNT = 32
LIMITED = {errno.EMFILE, errno.EBADF, errno.EINVAL, errno.EPERM, errno.ENOSYS}


def flood(make):
    opened, number = [], 0
    try:
        while len(opened) < 200:
            made = make()
            opened += made if isinstance(made, tuple) else (made,)
    except OSError as error:
        number = error.errno
    for fd in opened:
        os.close(fd)
    return max(opened, default=0), number


WAYS = {
    "open": lambda: os.open("/dev/null", os.O_RDONLY),
    "pipe": os.pipe,
    "dup": lambda: os.dup(0),
    "F_DUPFD": lambda: fcntl.fcntl(0, fcntl.F_DUPFD, 20),
}
for what, make in WAYS.items():
    highest, number = flood(make)
    held = highest < COUNT and number in LIMITED
    print("HELD" if held else "BROKEN", f"{what} to {highest}:", errno.errorcode.get(number))
RAISES = {
    "dup2 beyond": lambda: os.dup2(0, 500),
    "a higher hard limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    "no limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (-1, -1)),
    "prlimit of oneself": lambda: resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE, (64, 64)),
}
for what, attempt in RAISES.items():
    try:
        attempt()
        print("BROKEN", what)
    except (OSError, ValueError) as error:
        print(f"HELD {what}: {error}")
