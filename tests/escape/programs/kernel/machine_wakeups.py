# Promise: no timer of a program wakes the machine from its sleep.
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
TIMERFD_CREATE, TIMER_CREATE, CLOCK_NANOSLEEP = 283, 222, 230
for name, clock in (("real time", 8), ("time since boot", 9)):
    for what, call in (
        ("timer descriptor", (TIMERFD_CREATE, clock, 0)),
        ("timer", (TIMER_CREATE, clock, None, ctypes.byref(ctypes.c_int()))),
    ):
        result = libc.syscall(*call)
        reason = ctypes.get_errno()
        refused = {errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
        word = "HELD" if result == -1 and reason in refused else "BROKEN"
        print(word, f"{what} by {name}: {result}, {errno.errorcode.get(reason)}")
