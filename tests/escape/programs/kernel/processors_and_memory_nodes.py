# Promise: a program cannot choose other processors or memory nodes than it was given.
# policies: default strict nested
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
page = ctypes.create_string_buffer(8192)
start = ctypes.c_ulong((ctypes.addressof(page) + 4095) & ~4095)
mask = ctypes.create_string_buffer(b"\xff" * 128)
before = os.sched_getaffinity(0)
CALLS = {
    "sched_setaffinity": (203, 0, 128, mask),
    "set_mempolicy": (238, 2, mask, ctypes.c_ulong(64)),
    "mbind": (237, start, ctypes.c_ulong(4096), 2, mask, ctypes.c_ulong(64), 0),
    "set_mempolicy_home_node": (450, start, ctypes.c_ulong(4096), ctypes.c_ulong(0), 0),
    "migrate_pages": (256, 0, ctypes.c_ulong(64), mask, mask),
    "move_pages": (279, 0, ctypes.c_ulong(0), None, None, None, 0),
    "move_pages of init": (279, 1, ctypes.c_ulong(0), None, None, None, 0),
}
for name, (number, *arguments) in CALLS.items():
    result = libc.syscall(number, *arguments)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
    print(word, f"{name}: {result}, {errno.errorcode.get(reason)}")
after = os.sched_getaffinity(0)
print("HELD" if after == before else "BROKEN", f"{len(after)} processors as before")
