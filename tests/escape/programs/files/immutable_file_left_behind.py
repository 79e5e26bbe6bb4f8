# Promise: no file can be made immutable or undeletable, so that nothing outlives its sandbox.
import array
import errno
import fcntl
import os

FS_IOC_SETFLAGS, FS_IOC_GETFLAGS, IMMUTABLE, APPEND_ONLY = 0x40086602, 0x80086601, 0x10, 0x20
fd = os.open("kept", os.O_CREAT | os.O_RDWR)
for name, flag in (("immutable", IMMUTABLE), ("append-only", APPEND_ONLY)):
    try:
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, array.array("l", [flag]))
        print("BROKEN", f"the file is {name}")
    except OSError as error:
        refused = {errno.EPERM, errno.ENOTTY, errno.EOPNOTSUPP, errno.EACCES}
        word = "HELD" if error.errno in refused else "BROKEN"
        print(word, f"{name}: {errno.errorcode[error.errno]}")
os.unlink("kept")
