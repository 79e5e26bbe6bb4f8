# Promise: no address of IPv6 beyond the own loopback is reachable, by no scope.
# network: loopback
# expect: exited 0 | denied socket
import errno
import socket

REFUSED = {errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL}
REFUSED |= {errno.EAFNOSUPPORT, errno.EINVAL}
for address in ("2001:db8::1", "fe80::1", "fd00::1", "ff02::1", "fd00:ec2::254", "64:ff9b::1"):
    for scope in (0, 1, 2):
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
                client.connect((address, 53, 0, scope))
                reached = client.getsockname()[0]
            if reached != "::1":
                print("BROKEN", f"{address}, scope {scope}: from {reached}")
        except OSError as error:
            if error.errno not in REFUSED:
                print("BROKEN", f"{address}: {errno.errorcode.get(error.errno, error)}")
with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
    client.settimeout(1)
    result = client.connect_ex(("2001:db8::1", 80))
print("HELD" if result in REFUSED else "BROKEN", f"2001:db8::1: {errno.errorcode.get(result)}")
