# Promise: no signal, however it is sent, ends, stops or confuses init.
# check: wall_below 5s

import ctypes
import errno
import os
import signal

TKILL, TGKILL, QUEUE, TGQUEUE, PIDFD_SEND = 200, 234, 129, 297, 424
REFUSED = {errno.EPERM, errno.ESRCH, errno.ENOSYS, errno.EACCES, errno.EAGAIN, errno.EINVAL}
libc = ctypes.CDLL(None, use_errno=True)
info = (ctypes.c_int * 32)()
pidfd = libc.syscall(434, 1, 0)
WAYS = {
    "kill": lambda number: libc.kill(1, number),
    "tkill": lambda number: libc.syscall(TKILL, 1, number),
    "tgkill": lambda number: libc.syscall(TGKILL, 1, 1, number),
    "rt_sigqueueinfo": lambda number: libc.syscall(QUEUE, 1, number, info),
    "rt_tgsigqueueinfo": lambda number: libc.syscall(TGQUEUE, 1, 1, number, info),
    "pidfd_send_signal": lambda number: libc.syscall(PIDFD_SEND, pidfd, number, None, 0),
}
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
for what, send in WAYS.items():
    numbers = {}
    for number in range(1, 65):
        info[0], info[2] = number, -1  # si_code SI_QUEUE
        result = send(number)
        numbers.setdefault(0 if result == 0 else ctypes.get_errno(), []).append(number)
    odd = numbers.keys() - REFUSED - {0}
    sent = len(numbers.get(0, ()))
    print("BROKEN" if odd else "HELD", f"{what}: {sent} of 64 were taken and did nothing", *odd)
print("HELD" if os.getppid() == 1 or os.getpid() == 2 else "BROKEN", "init lives")
