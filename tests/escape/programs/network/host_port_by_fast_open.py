# Promise: data sent with the first packet, which needs no connect, does not reach the host either.
# expect: exited 0 | denied socket
import errno
import os
import socket

REFUSED = {errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL, errno.EOPNOTSUPP}
address = ("127.0.0.1", int(os.environ["BAIT_TCP"]))
FASTOPEN_CONNECT = 30
for delayed in (False, True):
    with socket.socket() as client:
        client.settimeout(2)
        try:
            if delayed:
                client.setsockopt(socket.IPPROTO_TCP, FASTOPEN_CONNECT, 1)
                client.connect(address)
                client.send(b"x")
            else:
                client.sendto(b"x", socket.MSG_FASTOPEN, address)
            print("BROKEN", f"delayed {delayed}: sent")
        except OSError as error:
            word = "HELD" if error.errno in REFUSED else "BROKEN"
            print(word, f"delayed {delayed}: {errno.errorcode.get(error.errno, error)}")
