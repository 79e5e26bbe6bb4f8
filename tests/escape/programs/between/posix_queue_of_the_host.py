# Promise: a job cannot open or remove the host's POSIX message queues.
# limits: msgqueue_bytes=64KiB

import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
name = os.environ["BAIT_QUEUE"].encode()
EXPECTED = {errno.ENOENT, errno.EPERM, errno.ENOSYS}

attempts = {
    "mq_open to read": lambda: libc.mq_open(name, os.O_RDONLY),
    "mq_open to write": lambda: libc.mq_open(name, os.O_WRONLY | os.O_NONBLOCK),
    "mq_unlink": lambda: libc.mq_unlink(name),
}
for what, attempt in attempts.items():
    result, number = attempt(), ctypes.get_errno()
    if result >= 0:
        print("BROKEN", what, "worked")
    elif number in EXPECTED:
        print(f"HELD {what}: {errno.errorcode[number]}")
    else:
        print("BROKEN an odd error of", what, number)
for path in ("/dev/mqueue", "/dev/mqueue" + name.decode()):
    print("BROKEN" if os.path.exists(path) else "HELD", path, "is not there")
