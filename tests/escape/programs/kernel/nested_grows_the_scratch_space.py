# Promise: the scratch space keeps its size, although an inner root may mount.
# policies: nested
# limits: scratch_bytes=1MiB
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
NEWUSER, NEWNS, MS_REMOUNT = 0x10000000, 0x20000, 32
before = os.statvfs("/tmp")
if libc.unshare(NEWUSER | NEWNS):
    print("BROKEN", f"no own namespace: {os.strerror(ctypes.get_errno())}: nothing was tried")
for path in (b"/tmp", b"/workspace", b"/dev/shm"):
    for options in (b"size=1g", b"nr_inodes=100000", b"size=0"):
        result = libc.mount(None, path, None, MS_REMOUNT, options)
        reason = ctypes.get_errno()
        word = "HELD" if result == -1 and reason == errno.EPERM else "BROKEN"
        print(word, f"{path} {options}: {result}, {errno.errorcode.get(reason)}")
after = os.statvfs("/tmp")
same = (before.f_blocks, before.f_files) == (after.f_blocks, after.f_files)
print("HELD" if same else "BROKEN", f"{after.f_blocks} blocks, {after.f_files} inodes")
