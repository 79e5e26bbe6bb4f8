# Promise: no hard link joins a file of the host, or a generated one, with a writable place.
# outputs: link
# check: no_file link
import ctypes
import errno
import os

AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, LINKAT = -100, 0x1000, 0x400, 265
libc = ctypes.CDLL(None, use_errno=True)
ALLOWED = {errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT}


def try_link(what, directory, path, flags):
    result = libc.syscall(LINKAT, directory, path.encode(), AT_FDCWD, b"link", flags)
    number = ctypes.get_errno()
    made = result == 0 or os.path.lexists("link")
    word = "HELD" if not made and number in ALLOWED else "BROKEN"
    print(word, f"{what}: {errno.errorcode.get(number, number)}")


for path in ("/usr/bin/env", "/etc/passwd", "/dev/null", "/proc/self/status"):
    try_link(f"link to {path}", AT_FDCWD, path, 0)
    fd = os.open(path, os.O_RDONLY)
    try_link(f"link to open {path}", fd, "", AT_EMPTY_PATH)
    try_link(f"link to {path} by /proc", AT_FDCWD, f"/proc/self/fd/{fd}", AT_SYMLINK_FOLLOW)
