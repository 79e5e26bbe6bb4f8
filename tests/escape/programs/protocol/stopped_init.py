# Promise: a program that stops or kills all it can, its own group too, does not hold up its end.
# expect: exited 5
# check: wall_below 5s

import os
import signal

TARGETS = {"init": 1, "all": -1}
for what, pid in TARGETS.items():
    for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGKILL):
        try:
            os.kill(pid, number)
            print("sent", number.name, "to", what)
        except OSError as error:
            print("refused", number.name, "to", what, error.strerror)
print("HELD this program is still there, and its exit code will be told", flush=True)
os._exit(5)
