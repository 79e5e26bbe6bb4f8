# Promise: a program can neither credit, clear nor reseed the random numbers of the host.
import errno
import fcntl
import os
import struct

RNDADDTOENTCNT, RNDADDENTROPY, RNDZAPENTCNT = 0x40045201, 0x40085203, 0x5204
RNDCLEARPOOL, RNDRESEEDCRNG = 0x5206, 0x5207
CALLS = [
    ("credit bits", RNDADDTOENTCNT, struct.pack("i", 8)),
    ("add entropy", RNDADDENTROPY, struct.pack("ii8s", 64, 8, bytes(8))),
    ("zap", RNDZAPENTCNT, b""),
    ("clear", RNDCLEARPOOL, b""),
    ("reseed", RNDRESEEDCRNG, b""),
]
for device in ("/dev/random", "/dev/urandom"):
    fd = os.open(device, os.O_RDWR)
    for what, request, data in CALLS:
        try:
            fcntl.ioctl(fd, request, data or 0)
            print("BROKEN", f"{what} on {device}")
        except OSError as error:
            word = "HELD" if error.errno in {errno.EPERM, errno.EACCES} else "BROKEN"
            print(word, f"{what} on {device}: {errno.errorcode[error.errno]}")
