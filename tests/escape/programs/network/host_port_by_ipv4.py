# Promise: a service on the host's 127.0.0.1 cannot be reached.
# expect: exited 0 | denied socket
import errno
import os
import socket

REFUSED = {errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL}
port = int(os.environ["BAIT_TCP"])
for address in ("127.0.0.1", "127.1.2.3", "0.0.0.0", "localhost"):
    with socket.socket() as client:
        client.settimeout(2)
        try:
            client.connect((address, port))
            print("BROKEN", f"{address}: connected")
        except OSError as error:
            word = "HELD" if error.errno in REFUSED else "BROKEN"
            print(word, f"{address}: {errno.errorcode.get(error.errno, error)}")
