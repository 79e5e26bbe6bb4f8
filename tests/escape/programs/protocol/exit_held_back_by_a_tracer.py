# Promise: a program that ends while its child traces it has ended at the latest at wall_time.
# limits: wall_time=1s
# expect: exited 3 | limit wall_time | denied clone
# check: wall_below 3s

import ctypes
import os
import time

SEIZE, PR_SET_PTRACER = 0x4206, 0x59616D61
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
read_fd, write_fd = os.pipe()
try:
    if os.fork() == 0:
        result = libc.ptrace(SEIZE, os.getppid(), None, None)
        os.write(write_fd, b"1" if result == 0 else b"0")
        time.sleep(600)  # and never waits for it
    traced = os.read(read_fd, 1) == b"1"
except OSError:
    traced = False
print("HELD the end will be told", "though it is traced" if traced else "untraced", flush=True)
os._exit(3)
