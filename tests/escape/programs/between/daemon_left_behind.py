# Promise: a daemon that leaves its session and ignores every signal is not there for the next job.
# expect: exited 0 | denied clone
# jobs: after

import errno
import os
import signal
import sys
import time


def first():
    try:
        child = os.fork()
    except OSError as error:
        known = error.errno in {errno.EPERM, errno.EACCES, errno.ENOSYS}
        print("HELD" if known else "BROKEN", "fork:", error.strerror)
        return
    if child == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        for number in range(1, 65):
            if number not in {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
                signal.signal(number, signal.SIG_IGN)
        os.close(0)
        time.sleep(600)
    os.waitpid(child, 0)
    print("HELD nothing yet: the next job looks")


def second():
    seen = {int(name) for name in os.listdir("/proc") if name.isdecimal()} - {1, os.getpid()}
    alive = []
    for pid in range(2, 2000):
        try:
            os.kill(pid, 0)
            alive.append(pid)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            if error.errno != errno.EPERM:
                raise
    others = set(alive) - {os.getpid()}
    print("BROKEN" if seen or others else "HELD", "no other process is there", *seen, *others)


{"first": first, "second": second}[sys.argv[1]]()
