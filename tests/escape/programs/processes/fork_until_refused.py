# Promise: forking stops at process_count, and the outcome tells it.
# limits: process_count=20
# policies: default build nested
# rungs: v2 v1
# check: touched process_count
import errno
import os
import signal

children = 0
try:
    while children < 200:
        if os.fork() == 0:
            signal.pause()
        children += 1
    print(f"BROKEN fork: {children} children and no end")
except OSError as error:
    refusal = errno.errorcode[error.errno]
    verdict = "HELD" if refusal == "EAGAIN" and children < 20 else "BROKEN"
    print(verdict, f"fork: {refusal} after {children} children")
