# Promise: no program runs on more processors than it was given.
# limits: cpu_count=1
import ctypes
import errno
import os

SCHED_SETAFFINITY = 203
libc = ctypes.CDLL(None, use_errno=True)
given = os.sched_getaffinity(0)
everywhere = b"\xff" * 128
for task in (0, os.getpid()):
    ctypes.set_errno(0)
    result = libc.syscall(SCHED_SETAFFINITY, task, len(everywhere), everywhere)
    refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
    held = result < 0 and refusal == "EPERM" and os.sched_getaffinity(0) == given
    print("HELD" if held else "BROKEN", f"sched_setaffinity of {task}: {refusal}")
verdict = "HELD" if len(given) == 1 else "BROKEN"
print(verdict, f"cpu_count=1 gives {len(given)} processors")
