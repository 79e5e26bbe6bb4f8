# Promise: stopped children do not hold up the end of the program.
# policies: default build nested
# check: wall_below 3s
import os
import signal

CHILDREN = 5
stopped = 0
for _ in range(CHILDREN):
    child = os.fork()
    if child == 0:
        signal.raise_signal(signal.SIGSTOP)
        os._exit(0)
    stopped += os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
verdict = "HELD" if stopped == CHILDREN else "BROKEN"
print(verdict, f"{stopped} stopped children at the end: the host is looked at")
