# Promise: no shared memory, semaphore or message queue of the host is found, by key, id or name.
import ctypes
import errno
import os

SHMGET, SHMCTL, SEMGET, MSGGET, MQ_OPEN = 29, 31, 64, 68, 240
IPC_STAT, SHM_STAT, SHM_STAT_ANY = 2, 13, 15
ABSENT = {errno.ENOENT, errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EIDRM, errno.EACCES}
libc = ctypes.CDLL(None, use_errno=True)
key = int(os.environ["BAIT_SHM"])
buffer = ctypes.create_string_buffer(512)


def absent(what, number, *arguments):
    result = libc.syscall(number, *arguments)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in ABSENT else "BROKEN"
    print(word, f"{what}: {result}, {errno.errorcode.get(reason, reason)}")


absent("segment by key", SHMGET, ctypes.c_int(key), ctypes.c_long(0), 0)
absent("semaphores by key", SEMGET, ctypes.c_int(key), 0, 0)
absent("messages by key", MSGGET, ctypes.c_int(key), 0)
for command in (IPC_STAT, SHM_STAT, SHM_STAT_ANY):
    for id_ in (0, 1, 2, 32768):
        absent(f"segment {id_}, command {command}", SHMCTL, id_, command, buffer)
queue = os.environ["BAIT_QUEUE"].removeprefix("/").encode()
for flags in (os.O_RDONLY, os.O_WRONLY):
    absent(f"queue, flags {flags}", MQ_OPEN, queue, flags, 0, None)
