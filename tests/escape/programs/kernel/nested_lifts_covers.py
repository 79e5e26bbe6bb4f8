# Promise: in an own namespace nobody lifts or moves what covers another mount.
# policies: nested
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
NEWUSER, NEWNS, MS_BIND, MS_MOVE, MS_REC, MNT_DETACH = 0x10000000, 0x20000, 4096, 8192, 16384, 2
if libc.unshare(NEWUSER | NEWNS):
    print("BROKEN", f"no own namespace: {os.strerror(ctypes.get_errno())}: nothing was tried")
os.mkdir("/workspace/place")


def refused(what, result):
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EINVAL, errno.EPERM} else "BROKEN"
    print(word, f"{what}: {result}, {errno.errorcode.get(reason)}")


for path in (b"/tmp", b"/workspace", b"/dev/shm", b"/dev/null", b"/usr", b"/proc", b"/"):
    for flags in (0, MNT_DETACH):
        refused(f"unmount {path}", libc.umount2(path, flags))
    if path != b"/":
        refused(f"move {path}", libc.mount(path, b"/workspace/place", None, MS_MOVE, None))
# A copy of the root without what is mounted on it would show what lies beneath.
refused("bind the bare root", libc.mount(b"/", b"/workspace/place", None, MS_BIND, None))
if libc.mount(b"/", b"/workspace/place", None, MS_BIND | MS_REC, None):
    print("BROKEN", f"no copy of the root: {os.strerror(ctypes.get_errno())}: nothing was tried")
for path in (b"/tmp", b"/usr", b"/proc", b"/dev/null"):
    refused(f"unmount {path} of a copy", libc.umount2(b"/workspace/place" + path, MNT_DETACH))
