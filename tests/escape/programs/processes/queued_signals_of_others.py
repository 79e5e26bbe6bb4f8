# Promise: a program that queues all the signals it can leaves queued signals to other jobs.
# policies: default build nested
# jobs: together
import ctypes
import errno
import os
import signal
import sys

libc = ctypes.CDLL(None, use_errno=True)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])


def queue_one():
    return libc.sigqueue(os.getpid(), int(signal.SIGRTMIN), None) == 0


if sys.argv[1] == "first":
    count = 0
    while count < 300_000 and queue_one():
        count += 1
    print(f"READY {count} signals are queued", flush=True)
    signal.pause()
verdict = "HELD" if queue_one() else "BROKEN"
refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
print(verdict, f"sigqueue while another job holds all that it got: {refusal}")
