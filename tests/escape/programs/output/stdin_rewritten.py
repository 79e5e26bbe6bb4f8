# Promise: the input cannot be changed, not by opening it anew either.
# stdin: the input as it was
import errno
import mmap
import os

before = os.pread(0, 100, 0)


def attempt(what, call, *arguments):
    try:
        call(*arguments)
        refusal = "done"
    except OSError as error:
        refusal = errno.errorcode[error.errno]
    held = refusal != "done" and os.pread(0, 100, 0) == before == b"the input as it was"
    print("HELD" if held else "BROKEN", f"{what}: {refusal}")


def open_and_write(flags):
    os.write(os.open("/proc/self/fd/0", flags), b"FORGED")


attempt("write", os.write, 0, b"FORGED")
attempt("ftruncate", os.ftruncate, 0, 1)
attempt("truncate", os.truncate, "/proc/self/fd/0", 1)
attempt("open to write", open_and_write, os.O_WRONLY)
attempt("open to read and write", open_and_write, os.O_RDWR | os.O_APPEND)
attempt("open to cut", os.open, "/dev/stdin", os.O_RDONLY | os.O_TRUNC)
attempt("map to write", mmap.mmap, 0, 4, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
attempt("preallocate", os.posix_fallocate, 0, 0, 1 << 20)
