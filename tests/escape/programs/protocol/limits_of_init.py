# Promise: init's limits cannot be lowered to starve or kill it.
# check: wall_below 5s

import ctypes
import errno
import resource

PRLIMIT, HIGH = 302, 1 << 32
REFUSED = {errno.EPERM, errno.EACCES, errno.ESRCH, errno.ENOSYS}
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
low = (ctypes.c_uint64 * 2)(0, 0)
old = (ctypes.c_uint64 * 2)()
NAMES = ("CPU", "NOFILE", "AS", "DATA", "STACK", "FSIZE", "NPROC", "SIGPENDING", "MEMLOCK")
for name in NAMES:
    number = getattr(resource, f"RLIMIT_{name}")
    for pid in (1, 1 | HIGH):
        for what, new in {"ask": None, "lower": ctypes.byref(low)}.items():
            result = libc.syscall(PRLIMIT, ctypes.c_ulong(pid), number, new, ctypes.byref(old))
            error = ctypes.get_errno()
            if result == 0:
                print("BROKEN", what, name, "of init worked")
            elif error not in REFUSED:
                print("BROKEN an odd error:", what, name, errno.errorcode[error])
print("HELD", len(NAMES), "limits of init were refused, with high bits too")
