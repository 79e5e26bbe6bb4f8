# Promise: a program with a terminal can take only a few more of those that the host has in all.
# terminal: yes

import errno
import os

MAX = 16
opened = []
try:
    while len(opened) < 200:
        opened.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
except OSError as error:
    known = error.errno in {errno.ENOSPC, errno.EPERM, errno.EACCES, errno.EIO}
    print("HELD" if known else "BROKEN", f"terminal {len(opened) + 2}:", error.strerror)
if len(opened) >= MAX:
    print("BROKEN", len(opened), "terminals were opened")
