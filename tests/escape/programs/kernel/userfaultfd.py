# Promise: page faults cannot be handled by the program, which would hold the kernel at any point.
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
USERFAULTFD, USER_MODE_ONLY = 323, 1
for flags in (0, USER_MODE_ONLY, os.O_CLOEXEC | os.O_NONBLOCK, USER_MODE_ONLY | os.O_CLOEXEC):
    result = libc.syscall(USERFAULTFD, flags)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
    print(word, f"flags {flags:#x}: {result}, {errno.errorcode.get(reason)}")
print("BROKEN" if os.path.exists("/dev/userfaultfd") else "HELD", "no /dev/userfaultfd")
