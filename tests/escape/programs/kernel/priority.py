# Promise: no program raises its priority: not by nice, real-time classes, deadlines or cookies.
import ctypes
import errno
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)
SCHED_SETATTR, IOPRIO_SET, PRCTL, SCHED_CORE, DEADLINE = 314, 251, 157, 62, 6
before = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
millisecond = 1000000
deadline = struct.pack("=IIQiIQQQ", 48, DEADLINE, 0, 0, 0, *[millisecond] * 3)
ATTEMPTS = {
    "nice": lambda: os.setpriority(os.PRIO_PROCESS, 0, before[0] - 1),
    "nice of all": lambda: os.setpriority(os.PRIO_USER, 0, before[0] - 1),
    "FIFO": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "RR": lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(99)),
    "RR kept from children": lambda: os.sched_setscheduler(
        0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1)
    ),
}
for what, attempt in ATTEMPTS.items():
    try:
        attempt()
        print("BROKEN", f"{what}: done")
    except OSError as error:
        word = "HELD" if error.errno in {errno.EPERM, errno.EACCES} else "BROKEN"
        print(word, f"{what}: {errno.errorcode[error.errno]}")
for what, call in {
    "deadline": (SCHED_SETATTR, 0, deadline, 0),
    "input and output first": (IOPRIO_SET, 1, 0, 1 << 13),
    "sibling processors": (PRCTL, SCHED_CORE, 1, 0, 0, None),
    "sibling processors, high bits": (PRCTL, ctypes.c_ulong(1 << 32 | SCHED_CORE), 1, 0, 0, None),
}.items():
    result = libc.syscall(*call)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
    print(word, f"{what}: {result}, {errno.errorcode.get(reason)}")
after = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
print("HELD" if after == before else "BROKEN", f"priority and class: {after}")
