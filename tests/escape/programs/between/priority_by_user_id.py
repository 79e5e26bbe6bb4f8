# Promise: a job cannot lower the priority of another through their user id.
# jobs: together

import os
import sys
import time

USUAL, LOWERED = 0, 15


def lower():
    for which, who in ((os.PRIO_USER, 0), (os.PRIO_USER, os.getuid()), (os.PRIO_PGRP, 0)):
        try:
            os.setpriority(which, who, LOWERED)
        except OSError as error:
            print("refused:", error.strerror)


if sys.argv[1] == "first":
    lower()
    print("READY", flush=True)
    for _ in range(1000):
        time.sleep(0.01)
        try:
            os.setpriority(os.PRIO_USER, 0, LOWERED)
        except OSError:
            continue
    sys.exit()

deadline = time.monotonic() + 0.3
while time.monotonic() < deadline:
    if os.getpriority(os.PRIO_PROCESS, 0) != USUAL:
        print("BROKEN a neighbour changed this job's priority")
        break
else:
    print("HELD the priority stays while a neighbour lowers all of its user's")
