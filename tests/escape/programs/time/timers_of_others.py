# Promise: a program that makes all the timers it can leaves timers to other jobs.
# policies: default build nested
# jobs: together
import ctypes
import errno
import signal
import sys

TIMER_CREATE, CLOCK_MONOTONIC = 222, 1
libc = ctypes.CDLL(None, use_errno=True)
identity = ctypes.c_int()


def create_one():
    return libc.syscall(TIMER_CREATE, CLOCK_MONOTONIC, None, ctypes.byref(identity)) == 0


if sys.argv[1] == "first":
    count = 0
    while count < 300_000 and create_one():
        count += 1
    print(f"READY {count} timers are there", flush=True)
    signal.pause()
verdict = "HELD" if create_one() else "BROKEN"
refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
print(verdict, f"timer_create while another job holds all that it got: {refusal}")
