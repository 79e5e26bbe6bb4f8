# Promise: pings, which need no privilege on many hosts, do not leave the sandbox.
# expect: exited 0 | denied socket
import errno
import socket
import struct

REFUSED = {errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
for family, protocol, kind, address in (
    (socket.AF_INET, socket.IPPROTO_ICMP, 8, "127.0.0.1"),
    (socket.AF_INET, socket.IPPROTO_ICMP, 8, "192.0.2.1"),
    (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, "::1"),
    (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, "2001:db8::1"),
):
    try:
        with socket.socket(family, socket.SOCK_DGRAM, protocol) as ping:
            ping.sendto(struct.pack("!BBHHH", kind, 0, 0, 1, 1), (address, 0))
        print("BROKEN", f"a ping was sent to {address}")
    except OSError as error:
        word = "HELD" if error.errno in REFUSED else "BROKEN"
        print(word, f"{address}: {errno.errorcode[error.errno]}")
