# Promise: a program that calls itself init, and adopts orphans as init does, is ended like any other.
# limits: wall_time=1s
# expect: limit wall_time | denied clone
# check: wall_below 3s

import ctypes
import os
import signal
import time

PR_SET_NAME, PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 15, 1, 4, 36
libc = ctypes.CDLL(None, use_errno=True)
for option, value in (
    (PR_SET_NAME, ctypes.c_char_p(b"sandboxd-init")),
    (PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1)),
    (PR_SET_PDEATHSIG, ctypes.c_ulong(0)),
    (PR_SET_DUMPABLE, ctypes.c_ulong(0)),
):
    libc.prctl(option, value, 0, 0, 0)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
try:
    if os.fork() == 0:
        os.setsid()
        os.fork()
except OSError as error:
    print("alone:", error.strerror, flush=True)
while True:
    time.sleep(1)
