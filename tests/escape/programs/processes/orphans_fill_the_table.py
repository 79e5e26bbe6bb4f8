# Promise: dead orphans are reaped while the program runs, and do not use up process_count.
# limits: process_count=16
# policies: default build nested
import os
import time

ORPHANS = 150
deadline = time.monotonic() + 8


def fork_patiently():
    """Fork; where dead orphans still count, init may be about to reap them."""
    while True:
        try:
            return os.fork()
        except BlockingIOError:
            if time.monotonic() > deadline:
                return -1


for made in range(ORPHANS):
    child = fork_patiently()
    if child == 0:
        fork_patiently()
        os._exit(0)
    if child < 0:
        print(f"BROKEN after {made} orphans no process can be made any more")
        break
    os.waitpid(child, 0)
else:
    print(f"HELD {ORPHANS} orphans under a limit of 16, and the table is not full")
