# Promise: no System V message waits for the next job.
# jobs: after

import ctypes
import errno
import sys

KEY, IPC_CREAT, IPC_NOWAIT = 0x5B0A4, 0o1000, 0o4000
libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.ENOSYS}


def first():
    queue = libc.msgget(KEY, IPC_CREAT | 0o666)
    if queue < 0 and ctypes.get_errno() not in REFUSED:
        print("BROKEN no queue was made:", ctypes.get_errno())
    elif queue >= 0 and libc.msgsnd(queue, (1).to_bytes(8, "little") + b"secret", 6, IPC_NOWAIT):
        print("BROKEN no message was sent:", ctypes.get_errno())
    print("HELD nothing yet: the next job looks")


def second():
    buffer = ctypes.create_string_buffer(64)
    queues = [libc.msgget(KEY, 0), *range(1024)]
    number = ctypes.get_errno()
    if any(libc.msgrcv(queue, buffer, 56, 0, IPC_NOWAIT) >= 0 for queue in queues):
        print("BROKEN it received", buffer.raw)
    elif number in REFUSED | {errno.ENOENT}:
        print("HELD by key and by number:", errno.errorcode[number])
    else:
        print("BROKEN an odd error:", number)


{"first": first, "second": second}[sys.argv[1]]()
