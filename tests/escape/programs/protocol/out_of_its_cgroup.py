# Promise: a program cannot leave its cgroup or change what it is allowed there.

import ctypes
import errno
import os

USER, MOUNT, CGROUP = 0x10000000, 0x20000, 0x2000000
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOENT, errno.ENOSYS, errno.EBUSY, errno.EROFS}
REFUSED |= {errno.ENODEV, errno.EINVAL, errno.ENOTDIR, errno.ENOSPC, errno.EXDEV, errno.EIO}
FILES = ("cgroup.procs", "tasks", "cgroup.kill", "cgroup.freeze", "memory.max", "pids.max")
FILES += ("memory.limit_in_bytes", "release_agent", "cgroup.subtree_control", "cpu.max")
libc = ctypes.CDLL(None, use_errno=True)
KINDS = (("cgroup2", b""), ("cgroup", b"memory"), ("cgroup", b"pids"), ("cgroup", b"cpu,cpuacct"))


def mounted():
    """Give the places at which the cgroups show, if a namespace of one's own allows it at all."""
    places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory"]
    if libc.unshare(USER | MOUNT | CGROUP) < 0:
        print("HELD no namespaces:", os.strerror(ctypes.get_errno()))
        return places
    for number, (kind, options) in enumerate(KINDS):
        place = f"/tmp/cgroup-{number}"
        os.mkdir(place)
        if libc.mount(b"none", place.encode(), kind.encode(), 0, options) == 0:
            places.append(place)
        else:
            print(f"HELD mount of {kind} {options}:", os.strerror(ctypes.get_errno()))
    return places


def write(path):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"0" if path.endswith(("procs", "tasks")) else b"max")


for place in mounted():
    held = 0
    for directory in (place, f"{place}/..", f"{place}/child"):
        for name in FILES:
            try:
                write(f"{directory}/{name}")
                print("BROKEN wrote", f"{directory}/{name}")
            except OSError as error:
                held += error.errno in REFUSED
                if error.errno not in REFUSED:
                    print("BROKEN an odd error:", directory, name, error.strerror)
    try:
        os.mkdir(f"{place}/child")
        print("BROKEN made a cgroup below", place)
    except OSError as error:
        print("HELD" if error.errno in REFUSED else "BROKEN", place, held, error.strerror)
