# Promise: a POSIX message queue does not outlive its job.
# jobs: after
# limits: msgqueue_bytes=64KiB

import ctypes
import errno
import os
import sys

NAME = b"/sandboxd-after"
libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.ENOSYS, errno.EACCES}


class Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("flags", "maximum", "size", "current")]
    _fields_ += [("unused", ctypes.c_long * 4)]


def first():
    asked = ctypes.byref(Attributes(0, 4, 64, 0))
    if libc.mq_open(NAME, os.O_RDWR | os.O_CREAT, 0o666, asked) < 0:
        number = ctypes.get_errno()
        if number not in REFUSED:
            print("BROKEN no queue was made:", number)
    print("HELD nothing yet: the next job looks")


def second():
    opened, number = libc.mq_open(NAME, os.O_RDWR), ctypes.get_errno()
    removed = libc.mq_unlink(NAME)
    if opened >= 0 or removed == 0:
        print("BROKEN the queue of the job before is there")
    elif number in REFUSED | {errno.ENOENT}:
        print("HELD mq_open and mq_unlink by name:", errno.errorcode[number])
    else:
        print("BROKEN an odd error:", number)


{"first": first, "second": second}[sys.argv[1]]()
