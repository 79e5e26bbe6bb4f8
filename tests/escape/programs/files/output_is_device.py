# Promise: no device can be made where an output is wanted, and a whiteout there is none.
# outputs: node left
# check: no_file node
# check: file left NOT_ALLOWED
import ctypes
import errno
import os
import stat

RENAME_WHITEOUT, AT_FDCWD, RENAMEAT2 = 4, -100, 316
libc = ctypes.CDLL(None, use_errno=True)

for kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFCHR | 1 << 16, stat.S_IFCHR | 1 << 32):
    for device in (os.makedev(1, 3), os.makedev(0, 0), os.makedev(1, 1)):
        for number, at in ((133, ()), (259, (AT_FDCWD,))):
            mode = ctypes.c_long(kind | 0o666)
            result = libc.syscall(number, *at, b"node", mode, ctypes.c_long(device))
            name = errno.errorcode.get(ctypes.get_errno(), "0")
            if result == 0 or os.path.lexists("node") or name != "EPERM":
                print("BROKEN", f"mknod of {kind:o}, device {device:#x}: {name}")
print("BROKEN" if os.path.lexists("node") else "HELD", "mknod of devices leaves none")

# A rename can leave a whiteout, which is a character device: the kernel lets anybody make one.
open("left", "w").close()
libc.syscall(RENAMEAT2, AT_FDCWD, b"left", AT_FDCWD, b"moved", RENAME_WHITEOUT)
if not stat.S_ISCHR(os.lstat("left").st_mode):
    print("BROKEN", "the rename left no device: nothing was tried")
try:
    os.close(os.open("left", os.O_RDONLY))
    print("BROKEN", "the whiteout opens as a device")
except OSError as error:
    word = "HELD" if error.errno in {errno.EACCES, errno.ENXIO} else "BROKEN"
    print(word, f"opening the whiteout: {errno.errorcode[error.errno]}")
