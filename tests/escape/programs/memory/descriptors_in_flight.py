# Promise: descriptors that lie in sockets, held by no process, are bounded.
# policies: default build nested
import errno
import os
import socket

fd = os.open("/dev/null", os.O_RDONLY)
pairs, sent, refusal = [], 0, "no refusal"
try:
    while sent < 20_000:
        pair = socket.socketpair()
        pairs.append(pair)
        pair[0].setblocking(False)
        while sent < 20_000:
            try:
                socket.send_fds(pair[0], [b"x"], [fd] * 100)
            except BlockingIOError:
                break
            sent += 100
except OSError as error:
    refusal = errno.errorcode[error.errno]
held = refusal == "ETOOMANYREFS" and sent < 2000
print("HELD" if held else "BROKEN", f"{sent} descriptors in flight, then: {refusal}")
