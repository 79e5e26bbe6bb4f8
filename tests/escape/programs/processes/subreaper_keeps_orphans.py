# Promise: a process that adopts orphans in place of init ends, with them, with the program.
# policies: default build nested
# check: wall_below 3s
import ctypes
import os
import time

PR_SET_CHILD_SUBREAPER = 36
ready, tell = os.pipe()
reaper = os.fork()
if reaper == 0:
    os.setsid()
    adopter = os.getpid()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    middle = os.fork()
    if middle == 0:
        parent = os.getpid()
        if os.fork() == 0:
            while os.getppid() == parent:
                time.sleep(0.001)
            os.write(tell, b"1" if os.getppid() == adopter else b"0")
            time.sleep(3)
            os.write(1, b"BROKEN an orphan writes three seconds after the program's end\n")
        os._exit(0)
    os.waitpid(middle, 0)
    time.sleep(60)
adopted = os.read(ready, 1) == b"1"
print("HELD" if adopted else "BROKEN", "an adopted orphan lives on: the host is looked at")
