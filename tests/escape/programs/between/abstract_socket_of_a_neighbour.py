# Promise: a job cannot reach the abstract sockets of another job.
# jobs: together

import errno
import socket
import sys
import time

NAME = "\0sandboxd-between"
REFUSED = {errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.ENOSYS}
KINDS = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "packet": socket.SOCK_SEQPACKET}


def first():
    kept = []
    for name, kind in KINDS.items():
        try:
            listener = socket.socket(socket.AF_UNIX, kind)
            listener.bind(f"{NAME}-{name}")
            if kind != socket.SOCK_DGRAM:
                listener.listen()
            kept.append(listener)
        except OSError as error:
            if error.errno not in REFUSED:
                print("BROKEN cannot listen:", error)
    print("READY", flush=True)
    time.sleep(60)


def second():
    for name, kind in KINDS.items():
        try:
            socket.socket(socket.AF_UNIX, kind).connect(f"{NAME}-{name}")
            print("BROKEN connected to a neighbour's", name)
        except OSError as error:
            known = error.errno in REFUSED | {errno.ECONNREFUSED}
            print("HELD" if known else "BROKEN", f"connect to {name}: {error.strerror}")


{"first": first, "second": second}[sys.argv[1]]()
