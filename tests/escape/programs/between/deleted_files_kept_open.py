# Promise: a file that is deleted but kept open gives its space back when its job ends.
# jobs: after
# limits: scratch_bytes=24MiB file_count=100

import os
import sys

SIZE = 20 << 20


def first():
    fd = os.open("/tmp/hidden", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(fd, 0, SIZE)
    os.unlink("/tmp/hidden")
    try:
        os.posix_fallocate(os.open("/dev/shm/more", os.O_RDWR | os.O_CREAT), 0, SIZE)
        print("BROKEN twice the space was given")
    except OSError as error:
        print("HELD more than scratch_bytes:", error.strerror)


def second():
    try:
        os.posix_fallocate(os.open("/tmp/whole", os.O_RDWR | os.O_CREAT), 0, SIZE)
        print("HELD all of the space is there again")
    except OSError as error:
        print("BROKEN the space of the job before is still taken:", error.strerror)


{"first": first, "second": second}[sys.argv[1]]()
