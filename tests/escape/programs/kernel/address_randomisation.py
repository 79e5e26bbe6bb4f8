# Promise: nobody switches off random addresses or makes data executable, nor by high bits.
# policies: default strict nested
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
PERSONALITY, ASK = 135, 0xFFFFFFFF
ODD = {
    "no random addresses": 0x0040000,
    "zero page": 0x0100000,
    "readable is executable": 0x0400000,
    "addresses of 32 bits": 0x0800000,
    "old layout": 0x0200000,
    "short inode numbers": 0x1000000,
    "function descriptors": 0x0080000,
    "three gigabytes": 0x8000000,
}
before = libc.syscall(PERSONALITY, ctypes.c_ulong(ASK))
for what, flag in ODD.items():
    for value in (flag, flag | 1 << 32, flag | 8):
        result = libc.syscall(PERSONALITY, ctypes.c_ulong(value))
        reason = ctypes.get_errno()
        if result != -1 or reason not in {errno.EPERM, errno.ENOSYS}:
            print("BROKEN", f"{what} ({value:#x}): {result}, {errno.errorcode.get(reason)}")
after = libc.syscall(PERSONALITY, ctypes.c_ulong(ASK))
same = after == before and (before in {0, -1})
print("HELD" if same else "BROKEN", f"personality before {before}, after {after}")
