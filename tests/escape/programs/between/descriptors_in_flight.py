# Promise: descriptors that one job keeps in flight do not hinder another's from being passed.
# ids: range
# jobs: together

import errno
import os
import socket
import sys
import time

REFUSED = {errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.ENOSYS}


def fill():
    pairs, sent = [], 0
    try:
        for _ in range(40):
            pairs.append(socket.socketpair())
            for _ in range(20):
                socket.send_fds(pairs[-1][0], [b"x"], [1] * 200)
                sent += 200
    except OSError as error:
        if error.errno not in REFUSED | {errno.ETOOMANYREFS}:
            print("BROKEN an odd error:", error)
    return pairs, sent


if sys.argv[1] == "first":
    kept = fill()
    print("in flight:", kept[1])
    print("READY", flush=True)
    time.sleep(60)
    sys.exit()

try:
    left, right = socket.socketpair()
    socket.send_fds(left, [b"x"], [1])
    _, fds, _, _ = socket.recv_fds(right, 1, 1)
    print("HELD" if os.fstat(fds[0]) else "BROKEN", "a descriptor was passed")
except OSError as error:
    print("HELD" if error.errno in REFUSED else "BROKEN", "pass a descriptor:", error.strerror)
