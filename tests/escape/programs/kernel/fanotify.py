# Promise: no program watches or answers for the files of a whole mount or file system.
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
INIT, MARK = 300, 301
for flags in (0, 0x4, 0x8, 0x200, 0x400 | 0x800, 0x10, 0x1000):
    result = libc.syscall(INIT, flags, os.O_RDONLY)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
    print(word, f"fanotify_init {flags:#x}: {result}, {errno.errorcode.get(reason)}")
result = libc.syscall(MARK, 0, 1, ctypes.c_ulong(0x20), -100, b"/usr")
reason = ctypes.get_errno()
word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
print(word, f"fanotify_mark: {result}, {errno.errorcode.get(reason)}")
