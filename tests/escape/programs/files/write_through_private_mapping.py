# Promise: a private mapping of a host's file, written with force or not, leaves the file as it was.
import ctypes
import errno
import mmap
import os

PATH = "/usr/bin/env"
fd = os.open(PATH, os.O_RDONLY)
before = os.pread(fd, 4096, 0)
try:
    mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    print("BROKEN", "a shared writable mapping of a read-only file")
except OSError as error:
    word = "HELD" if error.errno in {errno.EACCES, errno.EPERM} else "BROKEN"
    print(word, f"shared writable mapping: {errno.errorcode[error.errno]}")

private = mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
address = ctypes.addressof(ctypes.c_char.from_buffer(private))
try:
    forced = os.open("/proc/self/mem", os.O_RDWR)  # writes even where the mapping says read-only
    os.pwrite(forced, b"FORCED", address)
except PermissionError:  # Landlock
    private[:6] = b"FORCED"
copied = private[:6] == b"FORCED"
print("HELD" if copied and os.pread(fd, 4096, 0) == before else "BROKEN", "the file is as before")
