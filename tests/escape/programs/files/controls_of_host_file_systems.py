# Promise: the host's file systems can be neither frozen, trimmed, mapped nor labelled.
import errno
import fcntl
import os
import struct

FIFREEZE, FITHAW, FITRIM, FIBMAP = 0xC0045877, 0xC0045878, 0xC0185879, 0x1
SETLABEL, SETFLAGS, ENABLE_VERITY = 0x41009432, 0x40086602, 0x40806685
CALLS = [
    ("freeze", FIFREEZE, 0),
    ("trim", FITRIM, struct.pack("=3Q", 0, 2**64 - 1, 2**40)),
    ("map blocks", FIBMAP, struct.pack("=i", 0)),
    ("label", SETLABEL, b"broken".ljust(256, b"\0")),
    ("flags", SETFLAGS, struct.pack("=l", 0x10)),
    ("verity", ENABLE_VERITY, bytes(128)),
]
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOTTY, errno.EOPNOTSUPP, errno.EROFS, errno.EINVAL}
REFUSED |= {errno.EBADF}
for path in ("/usr", "/usr/bin/env", "/etc/passwd", "/dev/null"):
    fd = os.open(path, os.O_RDONLY)
    for what, request, data in CALLS:
        try:
            fcntl.ioctl(fd, request, data)
            if request == FIFREEZE:
                fcntl.ioctl(fd, FITHAW, 0)
            print("BROKEN", f"{what} by {path}")
        except OSError as error:
            word = "HELD" if error.errno in REFUSED else "BROKEN"
            print(word, f"{what} by {path}: {errno.errorcode[error.errno]}")
