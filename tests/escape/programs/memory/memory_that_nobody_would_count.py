# Promise: where no controller counts memory, kinds that no process maps cannot be had.
# rungs: v2-bare none
import ctypes
import errno

MEMFD_CREATE, MEMFD_SECRET, SHMGET = 319, 447, 29
libc = ctypes.CDLL(None, use_errno=True)
for what, *call in (
    ("memfd_create", MEMFD_CREATE, b"hidden", 0),
    ("memfd_secret", MEMFD_SECRET, 0),
    ("shmget", SHMGET, 0, 1 << 20, 0o1600),
):
    ctypes.set_errno(0)
    result = libc.syscall(*call)
    refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
    held = result < 0 and refusal in {"ENOSYS", "EPERM"}
    print("HELD" if held else "BROKEN", f"{what}: {refusal}")
