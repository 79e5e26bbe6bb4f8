# Promise: pipes made large by one job leave the pipes of another their usual size.
# ids: range
# jobs: together

import errno
import fcntl
import os
import sys
import time

F_SETPIPE_SZ, F_GETPIPE_SZ, LARGE, USUAL = 1031, 1032, 1 << 20, 65536


def enlarge():
    kept = []
    try:
        while len(kept) < 100:
            kept.append(os.pipe())
            fcntl.fcntl(kept[-1][0], F_SETPIPE_SZ, LARGE)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EMFILE, errno.ENOSYS}:
            print("BROKEN an odd error:", error)
    return kept


if sys.argv[1] == "first":
    kept = enlarge()
    print("READY", flush=True)
    time.sleep(60)
    sys.exit()

size = fcntl.fcntl(os.pipe()[0], F_GETPIPE_SZ)
print("HELD" if size >= USUAL else "BROKEN", "a new pipe holds", size)
