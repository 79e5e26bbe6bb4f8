# Promise: descriptors that a program leaves in flight do not keep init from bringing files back.
# limits: open_file_count=1024
# outputs: out
# check: file out =ok

import errno
import os
import socket

REFUSED = {errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.ENOSYS}
FULL = {errno.ETOOMANYREFS, errno.EMFILE, errno.ENOBUFS, errno.EAGAIN}
with open("out", "w") as file:
    file.write("ok")
kept, sent = [], 0
try:
    while sent < 25_000:
        left, right = socket.socketpair()
        left.setblocking(False)
        kept.append(left)
        for _ in range(20):
            # A socket within itself: only the kernel's garbage collector finds it.
            socket.send_fds(left, [b"x"], [right.fileno(), *[1] * 250])
            sent += 251
        os.close(right.detach())
except OSError as error:
    if error.errno not in REFUSED | FULL:
        print("BROKEN an odd error:", error)
print("HELD", sent, "descriptors are in flight")
