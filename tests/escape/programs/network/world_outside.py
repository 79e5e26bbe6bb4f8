# Promise: neither other machines, nor the cloud's metadata service, nor a name server is reachable.
# network: loopback
# expect: exited 0 | denied socket
import errno
import socket

REFUSED = {errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL}
PLACES = [
    "169.254.169.254",
    "192.0.2.1",
    "10.0.0.1",
    "172.17.0.1",
    "192.168.0.1",
    "100.100.100.200",
]
PLACES += ["255.255.255.255", "224.0.0.1"]
for address in PLACES:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.settimeout(1)
            try:
                client.connect((address, 53))
                print("BROKEN", f"{address}: there is a way")
            except OSError as error:
                if error.errno not in REFUSED:
                    print("BROKEN", f"{address}: {errno.errorcode.get(error.errno, error)}")
with socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname(), timeout=1):
        print("HELD", f"the own loopback works, and there is no way to {len(PLACES)} places")
try:
    socket.getaddrinfo("example.com", 80)
    print("BROKEN", "a name was resolved")
except socket.gaierror as error:
    print("HELD", f"no name is resolved: {error.strerror}")
