# Promise: with all capabilities of an own namespace read-only, nosuid and nodev mounts stay so.
# policies: nested
import ctypes
import errno
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)
NEWUSER, NEWNS, MS_REMOUNT, MS_BIND, MS_REC = 0x10000000, 0x20000, 32, 4096, 16384
MOUNT_SETATTR, RECURSIVE = 442, 0x8000
NAMES = {1: "read-only", 2: "nosuid", 4: "nodev"}
if libc.unshare(NEWUSER | NEWNS):
    print("BROKEN", f"no own namespace: {os.strerror(ctypes.get_errno())}: nothing was tried")
os.mkdir("/workspace/copy")
if libc.mount(b"/usr", b"/workspace/copy", None, MS_BIND | MS_REC, None):
    print("BROKEN", f"no copy of /usr: {os.strerror(ctypes.get_errno())}: nothing was tried")
for path in (b"/", b"/usr", b"/workspace/copy", b"/tmp"):
    before = os.statvfs(path).f_flag
    libc.mount(None, path, None, MS_REMOUNT | MS_BIND, None)
    libc.mount(None, path, None, MS_REMOUNT, None)
    for bit in NAMES:
        attributes = struct.pack("=4Q", 0, bit, 0, 0)
        for flags in (0, RECURSIVE):
            libc.syscall(MOUNT_SETATTR, -100, path, flags, attributes, 32)
    lost = [
        name for bit, name in NAMES.items() if before & bit and not os.statvfs(path).f_flag & bit
    ]
    print("BROKEN" if lost else "HELD", f"{path.decode()} lost {lost}")
try:
    os.open("/workspace/copy/bin/planted", os.O_CREAT | os.O_WRONLY)
    print("BROKEN", "a file was made beside the host's programs")
except OSError as error:
    print("HELD" if error.errno == errno.EROFS else "BROKEN", errno.errorcode[error.errno])
