# Promise: an overlay over the host's programs changes only its own upper layer.
# policies: nested
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000 | 0x20000):
    print("BROKEN", f"no own namespaces: {os.strerror(ctypes.get_errno())}: nothing was tried")
for name, text in (("setgroups", "deny"), ("uid_map", "0 1000 1"), ("gid_map", "0 1000 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
for name in ("upper", "work", "merged"):
    os.mkdir(f"/tmp/{name}")
host = os.open("/usr/bin/env", os.O_RDONLY)
before = os.pread(host, 4096, 0)
layers = b"lowerdir=/usr/bin,upperdir=/tmp/upper,workdir=/tmp/work,userxattr"
if libc.mount(b"overlay", b"/tmp/merged", b"overlay", 0, layers):
    reason = ctypes.get_errno()
    absent = reason in {errno.ENODEV, errno.EPERM, errno.EINVAL}
    print("HELD" if absent else "BROKEN", f"no overlay: {errno.errorcode[reason]}")
else:
    for name, change in (
        ("write", lambda: open("/tmp/merged/env", "r+b").write(b"CHANGED")),
        ("remove", lambda: os.unlink("/tmp/merged/cat")),
        ("mode", lambda: os.chmod("/tmp/merged/true", 0o4777)),
    ):
        try:
            change()
        except OSError as error:
            print("HELD", f"{name}: {errno.errorcode[error.errno]}")
    same = os.pread(host, 4096, 0) == before and os.path.exists("/usr/bin/cat")
    plain = os.stat("/usr/bin/true").st_mode & 0o7777 == 0o755
    print(
        "HELD" if same and plain else "BROKEN",
        f"the host's files; upper: {os.listdir('/tmp/upper')}",
    )
