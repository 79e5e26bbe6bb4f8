# Promise: secret memory, which the kernel locks and hides, cannot be had.
import ctypes
import errno

MEMFD_SECRET = 447
libc = ctypes.CDLL(None, use_errno=True)
for flags in (0, 0o2000000):
    ctypes.set_errno(0)
    result = libc.syscall(MEMFD_SECRET, flags)
    refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
    held = result < 0 and refusal in {"EPERM", "ENOSYS"}
    print("HELD" if held else "BROKEN", f"memfd_secret {flags:#x}: {refusal}")
