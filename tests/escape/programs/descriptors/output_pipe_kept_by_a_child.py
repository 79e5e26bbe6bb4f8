# Promise: a child that keeps the output open after the program's end does not delay the answer.
# expect: exited 0 | denied clone
# check: wall_below 3s

import errno
import os
import time

try:
    child = os.fork()
    if child == 0:
        os.setsid()
        for fd in (1, 2):
            os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        while True:
            time.sleep(1)
    print("HELD the end of this program is the end of its children")
except OSError as error:
    known = error.errno in {errno.EPERM, errno.EACCES, errno.ENOSYS}
    print("HELD" if known else "BROKEN", "no child:", error.strerror)
