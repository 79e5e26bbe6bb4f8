# Promise: a daemon with its own session, deaf to signals and holding stdout, ends with the program.
# policies: default build nested
# check: wall_below 3s
import os
import signal
import time

ready, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in set(range(1, 65)) - {9, 19, 32, 33}:
            signal.signal(number, signal.SIG_IGN)
        os.write(tell, b"x")
        time.sleep(3)
        os.write(1, b"BROKEN a daemon writes three seconds after the program's end\n")
    os._exit(0)
os.wait()
os.read(ready, 1)
print("HELD a daemon lives while the program ends: the host is looked at")
