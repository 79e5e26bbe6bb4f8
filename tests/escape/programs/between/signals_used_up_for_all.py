# Promise: a job that queues all the signals it can leaves the other jobs room for theirs.
# jobs: together

import ctypes
import errno
import os
import signal
import sys
import time

QUEUE, TIMER_CREATE, SIGEV_SIGNAL = 129, 222, 0
libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.ENOSYS}
INFO = (ctypes.c_int * 32)(0, 0, -1)  # si_code SI_QUEUE


def queue():
    return libc.syscall(QUEUE, os.getpid(), signal.SIGRTMAX, INFO), ctypes.get_errno()


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMAX})
if sys.argv[1] == "first":
    count = 0
    while queue()[0] == 0 and count < 500_000:
        count += 1
    print("queued", count)
    print("READY", flush=True)
    time.sleep(60)
    sys.exit()

timer = ctypes.c_int()
results = {
    "rt_sigqueueinfo": queue(),
    "timer_create": (
        libc.syscall(TIMER_CREATE, time.CLOCK_MONOTONIC, None, ctypes.byref(timer)),
        ctypes.get_errno(),
    ),
}
for what, (result, number) in results.items():
    if result == 0:
        print("HELD", what, "has room")
    elif number in REFUSED:
        print("HELD", what, "is refused to all")
    else:
        print(f"BROKEN a neighbour has used up {what}: {errno.errorcode[number]}")
