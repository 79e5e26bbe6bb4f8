# Promise: no mode or signal that a program sets on its output pipe reaches the daemon's end of it.
# check: wall_below 5s

import fcntl
import os
import signal

F_SETSIG, F_SETPIPE_SZ, O_DIRECT = 10, 1031, os.O_DIRECT
held = 0


def attempt(what, command, argument):
    global held
    try:
        fcntl.fcntl(1, command, argument)
        print("set", what)
    except OSError as error:
        print("refused", what, error.strerror)
    held += 1


signal.signal(signal.SIGIO, signal.SIG_IGN)
attempt("packets", fcntl.F_SETFL, O_DIRECT)
attempt("the least size", F_SETPIPE_SZ, 4096)
attempt("the owner init", fcntl.F_SETOWN, 1)
attempt("the owner all", fcntl.F_SETOWN, -1)
attempt("the signal KILL", F_SETSIG, signal.SIGKILL)
attempt("signals", fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_ASYNC)
try:
    fcntl.flock(1, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError as error:
    print("refused a lock", error.strerror)
for _ in range(200):
    os.write(1, b".")
print()
print("HELD" if held == 6 else "BROKEN", "the output comes as it was written")
