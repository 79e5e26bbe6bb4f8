# Promise: a program that takes the largest pipes it can leaves large pipes to other jobs.
# ids: range
# jobs: together
import fcntl
import os
import signal
import sys


def large_pipe():
    try:
        return fcntl.fcntl(os.pipe()[1], fcntl.F_SETPIPE_SZ, 1 << 20) == 1 << 20
    except OSError:
        return False


if sys.argv[1] == "first":
    count = 0
    while count < 100 and large_pipe():
        count += 1
    print(f"READY {count} large pipes are there", flush=True)
    signal.pause()
print("HELD" if large_pipe() else "BROKEN", "a large pipe beside a job that has all it got")
