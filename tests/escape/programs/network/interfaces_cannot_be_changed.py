# Promise: the only interface is the own loopback, and nothing about it can be changed.
# network: loopback
# expect: exited 0 | denied socket
import errno
import fcntl
import socket
import struct

SIOCGIFNAME, SIOCGIFFLAGS = 0x8910, 0x8913
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names = []
for index in range(64):
    try:
        answer = fcntl.ioctl(control, SIOCGIFNAME, struct.pack("=16si20x", b"", index))
        names.append(answer[:16].rstrip(b"\0").decode())
    except OSError:
        pass
print("HELD" if names == ["lo"] else "BROKEN", f"interfaces: {names}")
address = struct.pack("=HH4s8x", socket.AF_INET, 0, bytes([10, 1, 2, 3]))
REQUESTS = {
    "down": (0x8914, struct.pack("=16sH14x8x", b"lo", 0)),
    "promiscuous": (0x8914, struct.pack("=16sH14x8x", b"lo", 0x149)),
    "address": (0x8916, struct.pack("=16s16s8x", b"lo", address)),
    "second address": (0x8916, struct.pack("=16s16s8x", b"lo:1", address)),
    "size of packets": (0x8922, struct.pack("=16si20x", b"lo", 9000)),
    "hardware address": (0x8924, struct.pack("=16s16s8x", b"lo", bytes(16))),
    "name": (0x8923, struct.pack("=16s16s8x", b"lo", b"eth0")),
    "bridge": (0x89A0, b"br0".ljust(40, b"\0")),
    "tunnel": (0x89F1, struct.pack("=16s24x", b"tunl0")),
}
for what, (request, data) in REQUESTS.items():
    try:
        fcntl.ioctl(control, request, data)
        print("BROKEN", f"{what}: done")
    except OSError as error:
        refused = {errno.EPERM, errno.EACCES, errno.ENODEV, errno.ENOTTY, errno.ENOPKG}
        word = "HELD" if error.errno in refused | {errno.EOPNOTSUPP, errno.EINVAL} else "BROKEN"
        print(word, f"{what}: {errno.errorcode[error.errno]}")
flags = struct.unpack("=16xH", fcntl.ioctl(control, SIOCGIFFLAGS, b"lo".ljust(40, b"\0"))[:18])[0]
print("HELD" if flags & 1 else "BROKEN", f"the loopback is up as before: {flags:#x}")
