# Promise: a forged SIGCHLD makes init believe in no end: the program runs on and its code counts.
# expect: exited 9

import ctypes
import os
import signal
import time

QUEUE, CLD_EXITED, SI_QUEUE = 129, 1, -1
libc = ctypes.CDLL(None, use_errno=True)
began = time.monotonic()
for code in (CLD_EXITED, SI_QUEUE):
    info = (ctypes.c_int * 32)(signal.SIGCHLD, 0, code, 0, os.getpid(), os.getuid(), 0)
    for _ in range(1000):
        libc.syscall(QUEUE, 1, signal.SIGCHLD, info)
        libc.kill(1, signal.SIGCHLD)
while time.monotonic() - began < 0.2:
    time.sleep(0.01)
print("HELD the program still runs after 2000 forged ends", flush=True)
os._exit(9)
