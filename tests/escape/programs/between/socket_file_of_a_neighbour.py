# Promise: a socket file or FIFO of one job is in no other job's tree.
# jobs: together

import errno
import os
import socket
import sys
import time

PLACES = ("/tmp", "/workspace", "/dev/shm")
REFUSED = {errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.ENOSYS}


def first():
    kept = []
    for place in PLACES:
        for make in (
            lambda path: kept.append(socket.socket(socket.AF_UNIX)) or kept[-1].bind(path),
            lambda path: os.mkfifo(f"{path}.fifo", 0o666),
        ):
            try:
                make(f"{place}/meeting")
            except OSError as error:
                if error.errno not in REFUSED:
                    print("BROKEN cannot make it:", place, error)
    print("READY", flush=True)
    time.sleep(60)


def second():
    for place in PLACES:
        found = [name for name in os.listdir(place) if name.startswith("meeting")]
        print("BROKEN" if found else "HELD", f"{place} has no file of a neighbour", *found)


{"first": first, "second": second}[sys.argv[1]]()
