# Promise: a program that watches all the files it can leaves some watches to other jobs.
# policies: default build nested
# jobs: together
import ctypes
import errno
import os
import signal
import sys

IN_DELETE_SELF = 0x400
TWO_HUNDRED_THOUSAND = 200_000
libc = ctypes.CDLL(None, use_errno=True)


def some_paths():
    """Give the paths of files that are there anyway."""
    for directory, _, names in os.walk("/usr"):
        yield from (os.fsencode(os.path.join(directory, name)) for name in names)


def take_all():
    count, paths = 0, [path for path, _ in zip(some_paths(), range(4000), strict=False)]
    while count < TWO_HUNDRED_THOUSAND:
        watcher = libc.inotify_init()
        if watcher < 0:
            return count
        for path in paths:
            if libc.inotify_add_watch(watcher, path, IN_DELETE_SELF) >= 0:
                count += 1
            elif ctypes.get_errno() == errno.ENOSPC:
                return count
    return count


if sys.argv[1] == "first":
    print(f"READY {take_all()} watches are there", flush=True)
    signal.pause()
watcher = libc.inotify_init()
ctypes.set_errno(0)
verdict = "HELD" if libc.inotify_add_watch(watcher, b"/", IN_DELETE_SELF) >= 0 else "BROKEN"
refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
print(verdict, f"a watch while another job holds all that it got: {refusal}")
