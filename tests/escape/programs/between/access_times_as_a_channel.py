# Promise: reading a shared file leaves no trace of its time for the next job.

import os

FILES = ("/etc/passwd", "/etc/hostname", "/etc/nsswitch.conf", "/usr/bin/env", "/usr/lib")


def times(path):
    status = os.stat(path)
    return status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns


for path in FILES:
    before = times(path)
    if os.path.isdir(path):
        os.listdir(path)
    else:
        with open(path, "rb") as file:
            if not file.read():
                print("BROKEN nothing was read of", path)
    kept = times(path) == before
    print("HELD" if kept else "BROKEN", f"{path} shows no access after it was read")
