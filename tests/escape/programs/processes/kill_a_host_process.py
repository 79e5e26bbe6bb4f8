# Promise: no signal reaches a process of the host, by number, group or pidfd.
import ctypes
import errno
import os

PIDFD_OPEN = 434
target = int(os.environ["BAIT_PID"])
libc = ctypes.CDLL(None, use_errno=True)


def attempt(what, result):
    """Judge a call by its result and errno."""
    refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
    held = result < 0 and refusal in {"ESRCH", "EPERM"}
    print("HELD" if held else "BROKEN", f"{what}: {refusal}")


attempt("kill", libc.kill(target, 15))
attempt("kill of its group", libc.kill(-target, 15))
attempt("tgkill", libc.tgkill(target, target, 15))
attempt("pidfd_open", libc.syscall(PIDFD_OPEN, target, 0))
