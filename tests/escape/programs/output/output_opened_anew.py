# Promise: what was written cannot be taken back, by opening the output anew, seeking or cutting.
import errno
import os
import stat
from contextlib import suppress


def attempt(what, expected, call, *arguments):
    try:
        call(*arguments)
        print(f"BROKEN {what}: done")
    except OSError as error:
        refusal = errno.errorcode[error.errno]
        print("HELD" if refusal == expected else "BROKEN", f"{what}: {refusal}", flush=True)


for path in ("/dev/stdout", "/proc/self/fd/1"):
    with suppress(OSError):
        fd = os.open(path, os.O_RDWR | os.O_TRUNC)
        kind = os.fstat(fd).st_mode
        print("HELD" if stat.S_ISFIFO(kind) else "BROKEN", f"{path} is a pipe, opened anew")
attempt("seek", "ESPIPE", os.lseek, 1, 0, os.SEEK_SET)
attempt("ftruncate", "EINVAL", os.ftruncate, 1, 0)
attempt("pwrite", "ESPIPE", os.pwrite, 1, b"x", 0)
