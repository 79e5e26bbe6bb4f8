# Promise: a signal to everything reaches the program's own processes and nobody else.
# policies: default build nested
import os
import signal

child = os.fork()
if child == 0:
    signal.pause()
os.kill(-1, signal.SIGKILL)
status = os.waitpid(child, 0)[1]
reached = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
print("HELD" if reached else "BROKEN", "kill(-1): the own child got it")
# A pid namespace ends with its init: whoever reads this answer has an init that lives.
verdict = "HELD" if os.getppid() == 1 else "BROKEN"
print(verdict, f"kill(-1): the parent is {os.getppid()} still")
