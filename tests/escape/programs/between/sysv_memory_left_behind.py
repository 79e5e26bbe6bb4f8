# Promise: System V memory does not outlive its job.
# jobs: after
# limits: memory_bytes=64MiB

import ctypes
import errno
import sys

KEY, IPC_CREAT = 0x5B0A2, 0o1000
libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.ENOSYS}


def first():
    made = [libc.shmget(KEY + n, 1 << 20, IPC_CREAT | 0o666) for n in range(8)]
    number = ctypes.get_errno()
    if min(made) < 0 and number not in REFUSED:
        print("BROKEN no segment was made:", number)
    print("HELD nothing yet: the next job looks")


def second():
    found = [n for n in range(8) if libc.shmget(KEY + n, 0, 0) >= 0]
    number = ctypes.get_errno()
    if found:
        print("BROKEN segments of the job before:", found)
    elif number in REFUSED | {errno.ENOENT}:
        print("HELD the segments are gone:", errno.errorcode[number])
    else:
        print("BROKEN an odd error:", number)


{"first": first, "second": second}[sys.argv[1]]()
