# Promise: a program with a terminal has that of its job, and cannot take or hang up another's.
# terminal: yes

import errno
import fcntl
import os
import termios

name = os.ttyname(0)
print("HELD" if name == "/dev/pts/0" else "BROKEN", "the terminal is", name)
print("HELD" if os.tcgetpgrp(0) == os.getpgrp() else "BROKEN", "its foreground is the program's")
for path in ("/dev/pts/1", "/dev/pts/2", "/dev/console", "/dev/tty1", "/dev/vcs"):
    try:
        os.open(path, os.O_RDWR | os.O_NOCTTY)
        print("BROKEN opened", path)
    except OSError as error:
        known = error.errno in {errno.ENOENT, errno.ENXIO, errno.EACCES, errno.EPERM}
        print("HELD" if known else "BROKEN", f"{path}:", error.strerror)
for what, request in {"TIOCCONS": 0x541D, "TIOCVHANGUP": 0x5437, "TIOCSLCKTRMIOS": 0x5457}.items():
    try:
        fcntl.ioctl(0, request, bytes(64))
        print("BROKEN", what, "worked")
    except OSError as error:
        known = error.errno in {errno.EPERM, errno.EACCES, errno.ENOTTY, errno.ENOSYS}
        print("HELD" if known else "BROKEN", f"{what}:", error.strerror)
if not termios.tcgetattr(0):
    print("BROKEN the terminal is gone")
