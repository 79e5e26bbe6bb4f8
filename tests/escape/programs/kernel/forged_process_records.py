# Promise: what /proc tells of a program cannot be forged to point to other memory or files.
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
PRCTL, SET_MM = 157, 35
EXE_FILE = 13
executable = os.readlink("/proc/self/exe")
fd = os.open("/usr/bin/env", os.O_RDONLY)
for option in range(1, 16):
    value = ctypes.c_ulong(fd if option == EXE_FILE else 4096)
    for number in (SET_MM, SET_MM | 1 << 32):
        result = libc.syscall(PRCTL, ctypes.c_ulong(number), option, value, 0, 0)
        reason = ctypes.get_errno()
        if result != -1 or reason not in {errno.EPERM, errno.ENOSYS}:
            print("BROKEN", f"PR_SET_MM {option}: {result}, {errno.errorcode.get(reason)}")
same = os.readlink("/proc/self/exe") == executable
print("HELD" if same else "BROKEN", f"the executable is {executable}")
