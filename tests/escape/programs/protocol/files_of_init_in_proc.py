# Promise: nothing below /proc/1 gives init away or takes orders for it.

import errno
import os

REFUSED = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSYS, errno.ENOTDIR}
LINKS = ("root", "cwd", "exe", *(f"ns/{kind}" for kind in ("mnt", "user", "pid", "net", "ipc")))
SECRETS = ("environ", "io", "personality", "patch_state", "timerslack_ns")
ORDERS = {
    "oom_score_adj": "-1000",
    "uid_map": "0 0 1",
    "gid_map": "0 0 1",
    "setgroups": "allow",
    "comm": "evil",
    "coredump_filter": "ff",
    "clear_refs": "1",
    "mem": "x",
    "timerslack_ns": "1000000000",
    "attr/current": "x",
    "autogroup": "19",
    "timens_offsets": "monotonic 1 1",
}


def links(name):
    return os.readlink(f"/proc/1/{name}")


def secret(name):
    with open(f"/proc/1/{name}", "rb") as file:
        return file.read(64)


def order(name):
    with open(f"/proc/1/{name}", "w") as file:
        file.write(ORDERS[name])
    return "taken"


held = 0
for attempt, names in ((links, LINKS), (secret, SECRETS), (order, ORDERS)):
    for name in names:
        try:
            print("BROKEN", attempt.__name__, name, attempt(name))
        except OSError as error:
            held += error.errno in REFUSED
            if error.errno not in REFUSED:
                print("BROKEN an odd error:", name, error.strerror)
print("HELD", held, "files and links of init were refused")
