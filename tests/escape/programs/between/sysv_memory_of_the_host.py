# Promise: a job cannot see or remove the host's System V memory.

import ctypes
import errno
import os

IPC_RMID, SHM_INFO, SHM_STAT_ANY = 0, 14, 15
libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.ENOSYS}
key = int(os.environ["BAIT_SHM"])
buffer = ctypes.create_string_buffer(256)

segment = libc.shmget(ctypes.c_int(key), 0, 0)
number = ctypes.get_errno()
if segment >= 0:
    print("BROKEN the host's segment is", segment)
elif number in REFUSED | {errno.ENOENT}:
    print("HELD shmget by the host's key:", errno.errorcode[number])
else:
    print("BROKEN an odd error:", number)

seen = [id_ for id_ in range(4096) if libc.shmctl(id_, SHM_STAT_ANY, buffer) >= 0]
removed = [id_ for id_ in range(4096) if libc.shmctl(id_, IPC_RMID, None) >= 0]
highest = libc.shmctl(0, SHM_INFO, buffer)
used = int.from_bytes(buffer.raw[:4], "little") if highest >= 0 else 0
if seen or removed or used:
    print("BROKEN segments seen, removed, counted:", seen, removed, used)
else:
    print("HELD shmctl over all numbers: none is there")
