# Promise: a job cannot open the POSIX message queue of another job that runs beside it.
# jobs: together
# limits: msgqueue_bytes=64KiB

import ctypes
import errno
import os
import sys
import time

NAME = b"/sandboxd-between"
libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.ENOSYS, errno.EACCES}


class Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("flags", "maximum", "size", "current")]
    _fields_ += [("unused", ctypes.c_long * 4)]


def first():
    asked = ctypes.byref(Attributes(0, 4, 64, 0))
    queue = libc.mq_open(NAME, os.O_RDWR | os.O_CREAT, 0o666, asked)
    if queue >= 0:
        libc.mq_send(queue, b"secret", 6, 0)
    elif ctypes.get_errno() not in REFUSED:
        print("BROKEN no queue was made:", ctypes.get_errno())
    print("READY", flush=True)
    time.sleep(60)


def second():
    queue = libc.mq_open(NAME, os.O_RDWR)
    number = ctypes.get_errno()
    if queue >= 0:
        print("BROKEN the neighbour's queue is open")
    elif number in REFUSED | {errno.ENOENT}:
        print("HELD mq_open by name:", errno.errorcode[number])
    else:
        print("BROKEN an odd error:", number)


{"first": first, "second": second}[sys.argv[1]]()
