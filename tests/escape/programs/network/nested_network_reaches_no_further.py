# Promise: root of an own network namespace, whose loopback it brings up, is as far from the host.
# policies: nested
import ctypes
import errno
import fcntl
import os
import socket
import struct

libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000 | 0x40000000):
    print("BROKEN", f"no own namespaces: {os.strerror(ctypes.get_errno())}: nothing was tried")
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(control, 0x8914, struct.pack("=16sH14x8x", b"lo", 1))
with socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname(), timeout=2):
        print("HELD", "the own loopback is up")
attempts = {
    "port": (socket.AF_INET, ("127.0.0.1", int(os.environ["BAIT_TCP"]))),
    "abstract socket": (socket.AF_UNIX, "\0" + os.environ["BAIT_ABSTRACT"]),
}
for what, (family, address) in attempts.items():
    with socket.socket(family) as client:
        result = client.connect_ex(address)
    refused = result in {errno.ECONNREFUSED, errno.EPERM}
    print("HELD" if refused else "BROKEN", f"{what}: {errno.errorcode.get(result)}")
for family, kind in ((socket.AF_NETLINK, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW)):
    try:
        socket.socket(family, kind)
        print("BROKEN", f"{family.name} opened")
    except OSError as error:
        word = "HELD" if error.errno == errno.EAFNOSUPPORT else "BROKEN"
        print(word, f"{family.name}: {errno.errorcode[error.errno]}")
