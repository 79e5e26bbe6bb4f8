# Promise: the POSIX queues of one job do not use up what another was promised.
# jobs: together
# limits: msgqueue_bytes=512KiB
# policies: default strict build

import ctypes
import errno
import os
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.ENOSYS, errno.EACCES}


class Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("flags", "maximum", "size", "current")]
    _fields_ += [("unused", ctypes.c_long * 4)]


def make(number):
    name = f"/full-{number}".encode()
    asked = ctypes.byref(Attributes(0, 10, 4096, 0))
    return libc.mq_open(name, os.O_RDWR | os.O_CREAT, 0o600, asked), ctypes.get_errno()


made = 0
while made < 10:
    result, number = make(made)
    if result < 0:
        break
    made += 1
if sys.argv[1] == "first":
    print("READY", flush=True)
    time.sleep(60)
elif made == 10:
    print("HELD ten queues of 40 KiB fit into 512 KiB, whatever a neighbour has")
elif number in REFUSED:
    print("HELD nobody has queues:", errno.errorcode[number])
else:
    print(f"BROKEN only {made} queues are left by a neighbour: {errno.errorcode[number]}")
