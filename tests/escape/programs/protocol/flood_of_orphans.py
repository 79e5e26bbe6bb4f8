# Promise: init reaps what others leave behind: orphans do not fill the process limit.
# expect: exited 0 | denied clone
# limits: process_count=24

import errno
import os
import time

COUNT = 200
made, retries = 0, 0
while made < COUNT and retries < 5000:
    try:
        child = os.fork()
        if child == 0:
            try:
                os.fork()  # its child is init's from now on, a moment later a zombie
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        made += 1
    except OSError as error:
        if error.errno != errno.EAGAIN:
            known = error.errno in {errno.EPERM, errno.EACCES, errno.ENOSYS}
            print("HELD" if known else "BROKEN", "no children:", error.strerror)
            break
        retries += 1
        time.sleep(0.001)
else:
    print("HELD" if made == COUNT else "BROKEN", f"{made} pairs of processes came and went")
