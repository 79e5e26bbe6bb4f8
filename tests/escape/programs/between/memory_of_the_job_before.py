# Promise: no page, file block or pipe of a dead job's memory is handed out with its content.
# jobs: after
# limits: memory_bytes=160MiB

import mmap
import os
import sys

MARK = b"memory of the job before"
SIZE = 24 << 20


def first():
    page = (MARK * 200)[:4096]
    memory = mmap.mmap(-1, SIZE)
    for _ in range(0, SIZE, 4096):
        memory.write(page)
    with open("/tmp/filled", "wb") as file:
        file.write(page * (SIZE // 4096))
    print("HELD nothing yet: the next job looks")


def second():
    memory = mmap.mmap(-1, SIZE)
    print("BROKEN" if memory.find(b"job before") >= 0 else "HELD", "new memory is empty")
    if memory[:] != bytes(SIZE):
        print("BROKEN new memory is not zero")
    fd = os.open("/tmp/new", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(fd, 0, SIZE)
    content = os.pread(fd, SIZE, 0)
    print("BROKEN" if content != bytes(SIZE) else "HELD", "a new file's blocks are empty")


{"first": first, "second": second}[sys.argv[1]]()
