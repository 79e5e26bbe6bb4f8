# Promise: dead children that nobody waits for count, and stop at process_count.
# limits: process_count=20
# policies: default build nested
import errno
import os

dead = 0
try:
    while dead < 200:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        dead += 1
    print(f"BROKEN {dead} zombies and no end")
except OSError as error:
    refusal = errno.errorcode[error.errno]
    verdict = "HELD" if refusal == "EAGAIN" and dead < 20 else "BROKEN"
    print(verdict, f"fork: {refusal} after {dead} zombies")
