# Promise: a job cannot attach the System V memory of another job that runs beside it.
# jobs: together

import ctypes
import errno
import sys
import time

KEY, SIZE, IPC_CREAT = 0x5B0A1, 4096, 0o1000
SECRET = b"neighbour"
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


def first():
    segment = libc.shmget(KEY, SIZE, IPC_CREAT | 0o666)
    if segment >= 0:
        ctypes.memmove(libc.shmat(segment, None, 0), SECRET, len(SECRET))
    elif ctypes.get_errno() not in {errno.EPERM, errno.ENOSYS}:
        print("BROKEN no segment was made:", ctypes.get_errno())
    print("READY", flush=True)
    time.sleep(60)


def second():
    segment = libc.shmget(KEY, 0, 0)
    number = ctypes.get_errno()
    found = [id_ for id_ in range(4096) if libc.shmat(id_, None, 0o10000) not in {None, 2**64 - 1}]
    if segment >= 0 or found:
        print("BROKEN it attached a neighbour's memory", segment, found)
    elif number in {errno.ENOENT, errno.EPERM, errno.ENOSYS}:
        print("HELD shmget by key and shmat by number:", errno.errorcode[number])
    else:
        print("BROKEN an odd error:", number)


{"first": first, "second": second}[sys.argv[1]]()
