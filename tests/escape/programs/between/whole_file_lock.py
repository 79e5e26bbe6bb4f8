# Promise: under strict, a lock on a file that all jobs share tells none of them of another.
# policies: strict
# jobs: together

import ctypes
import errno
import os
import sys
import time

FLOCK, LOCK_EX, LOCK_NB = 73, 2, 4
libc = ctypes.CDLL(None, use_errno=True)
HIGH = 1 << 32


def lock(path, operation):
    fd = os.open(path, os.O_RDONLY)
    result = libc.syscall(FLOCK, fd, ctypes.c_ulong(operation))
    return result, ctypes.get_errno()


for path in ("/usr/bin/env", "/etc/passwd", "/usr/lib", "/"):
    for operation in (LOCK_EX | LOCK_NB, LOCK_EX | LOCK_NB | HIGH):
        result, number = lock(path, operation)
        if result == 0:
            print("BROKEN", sys.argv[1], "job locked", path)
        elif number == errno.EWOULDBLOCK:
            print("BROKEN a neighbour has locked", path)
        else:
            print(f"HELD flock of {path}, operation {operation:#x}: {errno.errorcode[number]}")
if sys.argv[1] == "first":
    print("READY", flush=True)
    time.sleep(60)
