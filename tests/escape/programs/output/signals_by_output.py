# Promise: a pipe that signals its owner, named as init, with KILL, does not reach init.
import fcntl
import os
import signal
import time
from contextlib import suppress

F_SETSIG = 10
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, 0):
    reader, writer = os.pipe()
    for fd in (reader, writer, 2):
        for owner in (1, -1):
            with suppress(OSError):
                fcntl.fcntl(fd, fcntl.F_SETOWN, owner)
                fcntl.fcntl(fd, F_SETSIG, number)
                fcntl.fcntl(fd, fcntl.F_SETFL, os.O_ASYNC)
    os.write(writer, b"x")
    os.read(reader, 1)
    os.write(2, b"x")
time.sleep(0.1)
# Without init, which is the parent, the kernel would have ended this program.
print("HELD" if os.getppid() == 1 else "BROKEN", "init lives on")
