# Promise: the kernel drops the upper half of a call's number, and the filter sees what is left.
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
HIGH = [1 << 32, 1 << 33, 0x7FFFFFFF << 32, -(1 << 32)]
REFUSED = {"bpf": 321, "io_uring_setup": 425, "userfaultfd": 323, "kexec_load": 246, "acct": 163}
getpid = libc.syscall(ctypes.c_long(HIGH[0] | 39))
seen = {os.getpid(): "as the low half", -1: "as no number at all"}
print("HELD" if getpid in seen else "BROKEN", f"getpid with high bits: {getpid}")
done = []
for name, number in REFUSED.items():
    for high in HIGH:
        result = libc.syscall(ctypes.c_long(high | number), 0, 0, 0, 0, 0)
        if result != -1 or ctypes.get_errno() not in {errno.EPERM, errno.ENOSYS}:
            done.append((name, hex(high), result, ctypes.get_errno()))
print("BROKEN" if done else "HELD", f"refused calls by another name: {done}")
