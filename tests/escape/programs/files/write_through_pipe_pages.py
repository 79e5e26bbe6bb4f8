# Promise: pages of a host's file that went through a pipe cannot be changed by writing to the pipe.
# policies: default build nested
import os

PATH = "/usr/bin/env"
fd = os.open(PATH, os.O_RDONLY)
before = os.pread(fd, 4096, 0)
reader, writer = os.pipe()
# Every buffer of the pipe is used once, so that none has fresh flags; then a byte of the file
# is put there by reference, and more bytes are to be merged behind it.
capacity = 65536
os.write(writer, bytes(capacity))
assert len(os.read(reader, capacity)) == capacity
moved = os.splice(fd, writer, 1, offset_src=3)
os.write(writer, b"MERGED INTO THE PAGE CACHE")
through = os.read(reader, 64)
if moved != 1 or not through.endswith(b"CACHE"):
    print("BROKEN", "the pipe did not carry both: nothing was tried")
elif os.pread(fd, 4096, 0) != before:
    print("BROKEN", "a file of the host was changed in memory")
else:
    print("HELD", "the bytes went behind the page, not into it")
