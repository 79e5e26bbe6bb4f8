# Promise: a job cannot signal another by System V semaphores.
# jobs: together

import ctypes
import errno
import sys
import time

KEY, IPC_CREAT, SETVAL = 0x5B0A3, 0o1000, 16
libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.ENOSYS}


def first():
    made = libc.semget(KEY, 1, IPC_CREAT | 0o666)
    if made >= 0:
        libc.semctl(made, 0, SETVAL, 7)
    elif ctypes.get_errno() not in REFUSED:
        print("BROKEN no semaphore was made:", ctypes.get_errno())
    print("READY", flush=True)
    time.sleep(60)


def second():
    found = libc.semget(KEY, 1, 0)
    number = ctypes.get_errno()
    by_number = [id_ for id_ in range(1024) if libc.semctl(id_, 0, SETVAL, 9) >= 0]
    if found >= 0 or by_number:
        print("BROKEN it reached a neighbour's semaphore", found, by_number)
    elif number in REFUSED | {errno.ENOENT}:
        print("HELD by key and by number:", errno.errorcode[number])
    else:
        print("BROKEN an odd error:", number)


{"first": first, "second": second}[sys.argv[1]]()
