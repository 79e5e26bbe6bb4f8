# Promise: no program sets or bends the host's clocks.
import ctypes
import errno
import time

SETTIMEOFDAY, ADJTIMEX, CLOCK_SETTIME, CLOCK_ADJTIME = 164, 159, 227, 305
ADJ_SETOFFSET, ADJ_TICK = 0x0100, 0x4000
HIGH = 1 << 32
STEP = 5
libc = ctypes.CDLL(None, use_errno=True)


def distance():
    """Give how far the wall clock is from the monotonic one."""
    return time.time() - time.monotonic()


def attempt(what, *call):
    before = distance()
    ctypes.set_errno(0)
    result = libc.syscall(*call)
    refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
    held = result < 0 and refusal == "EPERM" and abs(distance() - before) < STEP / 2
    print("HELD" if held else "BROKEN", f"{what}: {refusal}")


later = (ctypes.c_long * 2)(int(time.time()) + STEP, 0)
change = (ctypes.c_long * 26)(ADJ_SETOFFSET)  # struct timex: modes ... time at 9, tick at 11
change[9] = STEP
ticks = (ctypes.c_long * 26)(ADJ_TICK)
ticks[11] = 10_001
attempt("settimeofday", SETTIMEOFDAY, later, None)
attempt("clock_settime", CLOCK_SETTIME, 0, later)
attempt("clock_settime with high bits", CLOCK_SETTIME, ctypes.c_ulong(HIGH), later)
attempt("clock_adjtime", CLOCK_ADJTIME, 0, change)
attempt("adjtimex", ADJTIMEX, ticks)
