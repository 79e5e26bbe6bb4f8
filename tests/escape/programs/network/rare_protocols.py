# Promise: no rare protocol, each a module that the kernel would load, can be asked for.
# expect: exited 0 | denied socket
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
SOCKET = 41
PROTOCOLS = {"SCTP": 132, "DCCP": 33, "UDP-Lite": 136, "L2TP": 115, "MPTCP": 262, "GRE": 47}
PROTOCOLS |= {"ESP": 50, "SMC": 256, "PIM": 103, "IGMP": 2, "RSVP": 46, "IPIP": 4, "COMP": 108}
REFUSED = {errno.EPROTONOSUPPORT, errno.EPERM}
for name, protocol in PROTOCOLS.items():
    for family in (2, 10):
        for kind in (1, 2, 5):
            for high in (0, 1 << 32):
                result = libc.syscall(SOCKET, family, kind, ctypes.c_ulong(protocol | high))
                reason = ctypes.get_errno()
                if result != -1 or reason not in REFUSED:
                    print("BROKEN", f"{name}, {family}, type {kind}: {result}, {reason}")
with open("/proc/self/status") as file:
    print("HELD" if "Seccomp:\t2" in file.read() else "BROKEN", f"{len(PROTOCOLS)} are refused")
