# Promise: no raw or packet socket of the Internet's families opens, by odd types or high bits.
# expect: exited 0 | denied socket
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
SOCKET, RAW, RDM, SEQPACKET, DCCP, PACKET = 41, 3, 4, 5, 6, 10
REFUSED = {errno.EPROTONOSUPPORT, errno.EPERM, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT}
CLOSE, NONBLOCK = 0o2000000, 0o4000
opened, count = [], 0
for family in (2, 10):
    for kind in (RAW, RDM, SEQPACKET, DCCP, PACKET, RAW | CLOSE | NONBLOCK, RAW | 1 << 32):
        for protocol in (0, 1, 6, 17, 58, 255, 1 << 32 | 1):
            arguments = (ctypes.c_ulong(value) for value in (family, kind, protocol))
            result = libc.syscall(SOCKET, *arguments)
            reason = ctypes.get_errno()
            count += 1
            if result != -1 or reason not in REFUSED:
                opened.append((family, hex(kind), protocol, result, reason))
print("BROKEN" if opened else "HELD", f"{count} attempts, not refused: {opened[:5]}")
