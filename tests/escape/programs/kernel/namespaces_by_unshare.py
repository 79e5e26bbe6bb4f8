# Promise: unshare makes no namespace, by no flag, alone, together or with odd high bits.
# policies: default strict build
import ctypes
import errno
import os

KINDS = {
    "mnt": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "time": 0x00000080,
}
libc = ctypes.CDLL(None, use_errno=True)


def namespaces():
    return {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}


before = namespaces()
flags = {**KINDS, "all": sum(KINDS.values()), "user, mnt": 0x10020000}
flags |= {f"{name}, high bits": flag | 1 << 32 | 1 << 63 for name, flag in KINDS.items()}
for name, flag in flags.items():
    result = libc.syscall(272, ctypes.c_ulong(flag))
    reason = ctypes.get_errno()
    if result != -1 or reason not in {errno.EPERM, errno.EINVAL, errno.ENOSYS}:
        print("BROKEN", f"{name}: {result}, {errno.errorcode.get(reason, reason)}")
print("HELD" if namespaces() == before else "BROKEN", f"after {len(flags)} attempts the same ones")
