# Promise: user namespaces within one another end at the kernel's depth or the job's number.
# policies: nested
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
NEWUSER = 0x10000000
depth, reason = 0, 0
while depth < 200:
    if libc.unshare(NEWUSER):
        reason = ctypes.get_errno()
        break
    depth += 1
    outer = 1000 if depth == 1 else 0
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {outer} 1"),
        ("gid_map", f"0 {outer} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
held = 1 <= depth <= 32 and reason in {errno.ENOSPC, errno.EUSERS}
print("HELD" if held else "BROKEN", f"{depth} levels: {errno.errorcode.get(reason)}")
with open("/proc/self/status") as file:
    bounding = next(line.split()[1] for line in file if line.startswith("NoNewPrivs"))
print("HELD" if bounding == "1" else "BROKEN", f"no_new_privs is {bounding} at the bottom")
