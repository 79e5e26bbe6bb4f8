# Promise: under strict, no watch on a shared directory tells of the opens of another job.
# policies: strict
# jobs: together

import ctypes
import errno
import os
import sys
import time

INIT, INIT1, ADD, FANOTIFY_INIT, NOTIFY = 253, 294, 254, 300, 0x20
IN_OPEN, F_NOTIFY, DN_ACCESS = 0x20, 1026, 0x80000001
libc = ctypes.CDLL(None, use_errno=True)


def tell(what, result):
    number = ctypes.get_errno()
    if result >= 0:
        print("BROKEN", what, "worked")
    else:
        print(f"HELD {what}: {errno.errorcode[number]}")


if sys.argv[1] == "first":
    print("READY", flush=True)
    while True:  # what a watcher would see; it is cancelled at last
        os.close(os.open("/usr/bin/env", os.O_RDONLY))
        time.sleep(0.01)

tell("inotify_init", libc.syscall(INIT))
watcher = libc.syscall(INIT1, 0)
tell("inotify_init1", watcher)
tell("inotify_add_watch", libc.syscall(ADD, watcher, b"/usr/bin", IN_OPEN))
tell("fanotify_init", libc.syscall(FANOTIFY_INIT, 0, 0))
directory = os.open("/usr/bin", os.O_RDONLY)
libc.signal(29, 1)  # SIGIO is ignored: the attempt must not end us
tell("F_NOTIFY", libc.fcntl(directory, F_NOTIFY, ctypes.c_ulong(DN_ACCESS)))
