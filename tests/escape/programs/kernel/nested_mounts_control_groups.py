# Promise: control groups that an inner root mounts cannot be changed or left.
# policies: nested
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
FLAGS = 0x10000000 | 0x20000 | 0x2000000
LIMITS = ["memory.max", "pids.max", "cpu.max", "cgroup.procs", "cgroup.threads", "cgroup.kill"]
LIMITS += ["memory.limit_in_bytes", "tasks", "notify_on_release", "release_agent", "devices.allow"]
LIMITS += ["cgroup.subtree_control", "cgroup.freeze", "memory.swap.max", "cpu.cfs_quota_us"]
if libc.unshare(FLAGS):
    print("BROKEN", f"no own namespaces: {os.strerror(ctypes.get_errno())}: nothing was tried")
for name, text in (("setgroups", "deny"), ("uid_map", "0 1000 1"), ("gid_map", "0 1000 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
kinds = [(b"cgroup2", None)]
kinds += [
    (b"cgroup", name) for name in (b"memory", b"pids", b"cpu", b"cpuset", b"devices", b"rdma")
]
kinds += [(b"cgroup", b"none,name=mine"), (b"cgroup", b"memory,release_agent=/workspace/attack")]
for number, (kind, options) in enumerate(kinds):
    place = f"/workspace/{number}"
    os.mkdir(place)
    if libc.mount(b"x", place.encode(), kind, 0, options):
        reason = errno.errorcode[ctypes.get_errno()]
        print("HELD", f"{kind.decode()} {options}: not mounted: {reason}")
        continue
    changed = []
    for directory, _, _ in os.walk(place):
        for name in LIMITS:
            try:
                os.close(os.open(f"{directory}/{name}", os.O_WRONLY))
                changed.append(f"{directory}/{name}")
            except OSError:
                pass
        try:
            os.mkdir(f"{directory}/child")
            changed.append(f"{directory}/child")
        except OSError:
            pass
    print("BROKEN" if changed else "HELD", f"{kind.decode()} {options}: {changed[:10]}")
