# Promise: options of sockets that need a capability in the network are refused.
# network: loopback
# expect: exited 0 | denied socket
import errno
import socket
import struct

SOL_SOCKET, IP, TCP = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_TCP
OPTIONS = {
    "mark": (SOL_SOCKET, 36, struct.pack("I", 1)),
    "send buffer by force": (SOL_SOCKET, 32, struct.pack("I", 1 << 28)),
    "receive buffer by force": (SOL_SOCKET, 33, struct.pack("I", 1 << 28)),
    "priority": (SOL_SOCKET, 12, struct.pack("I", 7)),
    "debug": (SOL_SOCKET, 1, struct.pack("I", 1)),
    "transparent": (IP, 19, struct.pack("I", 1)),
    "security policy": (IP, 16, bytes(168)),
    "tables of the firewall": (IP, 64, bytes(96)),
    "repair": (TCP, 19, struct.pack("I", 1)),
    "attached BPF program": (SOL_SOCKET, 50, struct.pack("i", 0)),
    "another scheduler of congestion": (TCP, 13, b"dctcp"),
}
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOPROTOOPT, errno.EBADF, errno.EINVAL, errno.ENOENT}
for what, (level, option, value) in OPTIONS.items():
    with socket.socket() as own:
        try:
            own.setsockopt(level, option, value)
            print("BROKEN", f"{what}: set")
        except OSError as error:
            word = "HELD" if error.errno in REFUSED else "BROKEN"
            print(word, f"{what}: {errno.errorcode[error.errno]}")
with socket.socket() as own:
    own.setsockopt(SOL_SOCKET, socket.SO_REUSEADDR, 1)
    print("HELD" if own.getsockopt(SOL_SOCKET, socket.SO_REUSEADDR) else "BROKEN", "others work")
