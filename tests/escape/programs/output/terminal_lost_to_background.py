# Promise: a program that gave its terminal away reads nothing from it, and hangs nowhere.
# terminal: yes
# policies: default build nested
# check: wall_below 4s
import errno
import os
import signal

child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, os.getpid())
    signal.pause()
while os.tcgetpgrp(0) == os.getpgrp():
    os.sched_yield()
try:
    got = os.read(0, 1)
    print(f"BROKEN the background read {got!r}")
except OSError as error:
    refusal = errno.errorcode[error.errno]
    print("HELD" if refusal == "EIO" else "BROKEN", f"reading from the background: {refusal}")
