# Promise: a job that takes all the watchers it can get leaves the other jobs some.
# jobs: together
# limits: open_file_count=1024

import ctypes
import errno
import sys
import time

INIT1 = 294
libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.ENOSYS}


def take():
    return libc.syscall(INIT1, 0), ctypes.get_errno()


if sys.argv[1] == "first":
    count = 0
    while take()[0] >= 0 and count < 1000:
        count += 1
    print("took", count)
    print("READY", flush=True)
    time.sleep(60)
    sys.exit()

result, number = take()
if result >= 0:
    print("HELD a watcher is left for this job")
elif number in REFUSED:
    print("HELD nobody has any:", errno.errorcode[number])
else:
    print("BROKEN a neighbour has taken them all:", errno.errorcode[number])
