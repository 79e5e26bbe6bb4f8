# Promise: no family of netlink opens, by which routes, filters, audit and devices are changed.
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
SOCKET, SOCKETPAIR, NETLINK = 41, 53, 16
pair = ctypes.create_string_buffer(8)
opened = []
for protocol in range(23):
    for kind in (2, 3, 2 | 0o2000000):
        for family in (NETLINK, NETLINK | 1 << 32, NETLINK | 0x7FFFFFFF << 32):
            for call, extra in ((SOCKET, ()), (SOCKETPAIR, (pair,))):
                result = libc.syscall(call, ctypes.c_ulong(family), kind, protocol, *extra)
                reason = ctypes.get_errno()
                if result != -1 or reason not in {errno.EAFNOSUPPORT, errno.EPERM}:
                    opened.append((call, hex(family), kind, protocol, result, reason))
print("BROKEN" if opened else "HELD", f"23 protocols, not refused: {opened[:5]}")
