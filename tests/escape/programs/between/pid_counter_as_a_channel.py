# Promise: process numbers begin anew in each sandbox and tell nothing of the job before.
# expect: exited 0 | denied clone
# jobs: after

import errno
import os
import sys
import threading

INIT, PROGRAM = 1, 2


def use_up_numbers():
    for _ in range(300):
        thread = threading.Thread(target=os.getpid)
        thread.start()
        thread.join()
    for _ in range(20):
        try:
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EACCES, errno.ENOSYS}:
                print("BROKEN an odd error:", error)


mine = os.getpid()
print("HELD" if mine == PROGRAM else "BROKEN", f"the program of each job is process {mine}")
if sys.argv[1] == "first":
    use_up_numbers()
