# Promise: root of an own namespace opens no setting of the whole kernel for writing.
# policies: nested
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
EVERY = 0x10000000 | 0x20000 | 0x4000000 | 0x8000000 | 0x40000000 | 0x2000000
if libc.unshare(EVERY):
    print("BROKEN", f"no own namespaces: {os.strerror(ctypes.get_errno())}: nothing was tried")
for name, text in (("setgroups", "deny"), ("uid_map", "0 1000 1"), ("gid_map", "0 1000 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
if os.getuid() != 0:
    print("BROKEN", "not root of it: nothing was tried")
# These belong to namespaces: of one's own anybody may set them.
OWN = ("/proc/sys/net/", "/proc/sys/user/", "/proc/sys/kernel/msg", "/proc/sys/kernel/shm")
OWN += ("/proc/sys/kernel/sem", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname")
OWN += ("/proc/sys/fs/mqueue/", "/proc/sys/kernel/auto_msgmni")
opened, count = [], 0
for directory, _, names in os.walk("/proc/sys"):
    for name in names:
        path = os.path.join(directory, name)
        if not path.startswith(OWN):
            count += 1
            try:
                fd = os.open(path, os.O_WRONLY)
                if name == "ns_last_pid":  # anybody may open it; writing needs a capability
                    os.write(fd, b"100")
                opened.append(path)
            except OSError:
                pass
for path in ("/proc/sysrq-trigger", "/proc/1/oom_score_adj", "/proc/1/mem", "/proc/mtrr"):
    try:
        os.close(os.open(path, os.O_WRONLY))
        opened.append(path)
    except OSError:
        pass
held = not opened and count > 200
print("HELD" if held else "BROKEN", f"{count} settings, opened: {opened[:10]}")
