# Promise: a contest program sends no signal to anybody but its own threads.
# policies: strict
import ctypes
import errno
import os
import signal

KILL, TKILL, RT_SIGQUEUEINFO, RT_TGSIGQUEUEINFO, PIDFD_OPEN = 62, 200, 129, 297, 434
libc = ctypes.CDLL(None, use_errno=True)
information = (ctypes.c_int * 32)(signal.SIGTERM, 0, -1)
own = os.getpid()
for what, *call in (
    ("kill of init", KILL, 1, 0),
    ("kill of everything", KILL, -1, 9),
    ("kill of a group", KILL, 0, 9),
    ("tkill", TKILL, 1, 9),
    ("rt_sigqueueinfo", RT_SIGQUEUEINFO, 1, signal.SIGTERM, information),
    ("rt_tgsigqueueinfo", RT_TGSIGQUEUEINFO, 1, 1, signal.SIGTERM, information),
    ("pidfd_open", PIDFD_OPEN, own, 0),
):
    ctypes.set_errno(0)
    result = libc.syscall(*call)
    refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
    held = result < 0 and refusal in {"EPERM", "ESRCH"}
    print("HELD" if held else "BROKEN", f"{what}: {refusal}")
