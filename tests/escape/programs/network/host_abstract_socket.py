# Promise: a socket of the host without a path, in the abstract space, cannot be reached.
import errno
import os
import socket

# EPERM is Landlock's answer and ECONNREFUSED that of an empty namespace; strict has no sockets.
REFUSED = {errno.ECONNREFUSED, errno.EPERM, errno.EAFNOSUPPORT}
name = "\0" + os.environ["BAIT_ABSTRACT"]
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
    try:
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.connect(name)
        print("BROKEN", f"{kind.name}: connected")
    except OSError as error:
        word = "HELD" if error.errno in REFUSED else "BROKEN"
        print(word, f"{kind.name}: {errno.errorcode[error.errno]}")
    try:
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.sendto(b"x", name)
        print("BROKEN", f"{kind.name}: sent")
    except OSError as error:
        word = "HELD" if error.errno in REFUSED | {errno.EOPNOTSUPP, errno.ENOTCONN} else "BROKEN"
        print(word, f"{kind.name}, sent: {errno.errorcode[error.errno]}")
