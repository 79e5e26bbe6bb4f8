# Promise: no file system that shows disks, devices or the kernel can be mounted by an inner root.
# policies: nested
import ctypes
import errno
import os
import stat

libc = ctypes.CDLL(None, use_errno=True)
FLAGS = 0x10000000 | 0x20000 | 0x40000000 | 0x8000000
KINDS = ["sysfs", "devtmpfs", "debugfs", "tracefs", "securityfs", "configfs", "efivarfs", "pstore"]
KINDS += ["ext4", "xfs", "btrfs", "vfat", "iso9660", "squashfs", "nfs", "cifs", "9p", "hugetlbfs"]
if libc.unshare(FLAGS):
    print("BROKEN", f"no own namespaces: {os.strerror(ctypes.get_errno())}: nothing was tried")
os.mkdir("place")
mounted = []
for kind in KINDS:
    if libc.mount(b"/dev/vda", b"/workspace/place", kind.encode(), 0, None) == 0:
        mounted.append(kind)
print("BROKEN" if mounted else "HELD", f"of {len(KINDS)} kinds mounted: {mounted}")
if libc.mount(b"x", b"/workspace/place", b"tmpfs", 0, None):
    print("BROKEN", f"no tmpfs: {os.strerror(ctypes.get_errno())}: nothing was tried")
try:
    os.mknod("/workspace/place/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    print("BROKEN", "a device was made in it")
except OSError as error:
    print("HELD" if error.errno == errno.EPERM else "BROKEN", f"a device in it: {error.strerror}")
