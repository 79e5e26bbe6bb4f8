# Promise: without a terminal of its own, a program finds none: not the daemon's, not the host's.

import errno
import os

PATHS = ["/dev/tty", "/dev/console", "/dev/tty0", "/dev/tty1", "/dev/ttyS0", "/dev/ptmx"]
PATHS += [f"/dev/pts/{number}" for number in range(32)]
PATHS += ["/dev/pts/ptmx", "/dev/vcs", "/dev/vcsa1", "/dev/input/event0", "/dev/uinput"]
MISSING = {errno.ENOENT, errno.ENXIO, errno.ENOTDIR}
held = 0
for path in PATHS:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        print("BROKEN opened", path, os.ttyname(fd) if os.isatty(fd) else "")
    except OSError as error:
        held += error.errno in MISSING
        if error.errno not in MISSING:
            print("BROKEN an odd error:", path, error.strerror)
print("HELD" if held == len(PATHS) else "BROKEN", "none of", len(PATHS), "terminals is there")
terminals = [fd for fd in (0, 1, 2) if os.isatty(fd)]
print("BROKEN" if terminals else "HELD", "no descriptor is a terminal", *terminals)
try:
    print("BROKEN the controlling terminal has group", os.tcgetpgrp(0))
except OSError as error:
    print("HELD no terminal controls this session:", error.strerror)
