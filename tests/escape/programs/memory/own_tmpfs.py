# Promise: a tmpfs that the program mounts itself counts as its memory.
# limits: memory_bytes=32MiB
# policies: nested
# rungs: v2 v1
# ids: range
# expect: limit memory_bytes
import ctypes
import os

NEWUSER, NEWNS = 0x10000000, 0x00020000
libc = ctypes.CDLL(None, use_errno=True)
uid, gid = os.getuid(), os.getgid()
if libc.unshare(NEWUSER | NEWNS) != 0:
    raise SystemExit("no namespace can be made")
for name, text in (
    ("setgroups", "deny"),
    ("uid_map", f"0 {uid} 1"),
    ("gid_map", f"0 {gid} 1"),
):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
if libc.mount(b"own", b"/tmp", b"tmpfs", 0, b"size=1g") != 0:
    raise SystemExit(f"no tmpfs can be mounted: {os.strerror(ctypes.get_errno())}")
block = b"x" * (1 << 20)
with open("/tmp/big", "wb", buffering=0) as file:
    for _ in range(128):
        file.write(block)
print("BROKEN 128 MiB are in a tmpfs of the program's own")
