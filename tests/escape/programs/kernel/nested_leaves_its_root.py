# Promise: the classic way out of a chroot ends at the sandbox's root.
# policies: nested
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000 | 0x20000):
    print("BROKEN", f"no own namespace: {os.strerror(ctypes.get_errno())}: nothing was tried")
root = os.stat("/")
outside = os.open("/workspace", os.O_RDONLY | os.O_DIRECTORY)
os.mkdir("/workspace/jail")
os.chroot("/workspace/jail")
if os.listdir("/"):
    print("BROKEN", "the chroot had no effect: nothing was tried")
os.fchdir(outside)
for _ in range(64):
    os.chdir("..")
os.chroot(".")
now = os.stat("/")
same = (now.st_dev, now.st_ino) == (root.st_dev, root.st_ino)
print("HELD" if same else "BROKEN", f"at the top: {sorted(os.listdir('/'))[:4]}")
found = [
    p for p in ("/root", "/home", "/etc/shadow", os.environ["BAIT_FILE"]) if os.path.lexists(p)
]
print("BROKEN" if found else "HELD", f"of the host: {found}")
