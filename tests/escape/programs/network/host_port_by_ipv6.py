# Promise: a service on the host's ::1 cannot be reached, nor one of 127.0.0.1 by a mapped address.
# expect: exited 0 | denied socket
import errno
import os
import socket

REFUSED = {errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
ports = {int(os.environ[name]) for name in ("BAIT_TCP", "BAIT_TCP6") if name in os.environ}
for port in ports:
    for address in ("::1", "::", "::ffff:127.0.0.1"):
        try:
            with socket.socket(socket.AF_INET6) as client:
                client.settimeout(2)
                client.connect((address, port))
            print("BROKEN", f"{address}: connected")
        except OSError as error:
            word = "HELD" if error.errno in REFUSED else "BROKEN"
            print(word, f"{address}: {errno.errorcode.get(error.errno, error)}")
