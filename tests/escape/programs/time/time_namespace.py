# Promise: a time namespace of the program's own moves its clocks, not its wall_time.
# limits: wall_time=700ms
# policies: nested
# rungs: v2 v1
# ids: range
# expect: limit wall_time
# check: wall_below 5s
import ctypes
import os
import time

NEWUSER, NEWTIME = 0x10000000, 0x00000080
if ctypes.CDLL(None).unshare(NEWUSER | NEWTIME) != 0:
    raise SystemExit("no namespace can be made")
with open("/proc/self/timens_offsets", "w") as file:
    file.write("monotonic 86400 0\nboottime 86400 0\n")
before = time.monotonic()
if os.fork() == 0:
    moved = time.monotonic() - before > 86000
    os._exit(0 if moved else 1)
if os.wait()[1] != 0:
    raise SystemExit("the clock did not move")
time.sleep(8)
print("BROKEN it outlived its wall_time")
