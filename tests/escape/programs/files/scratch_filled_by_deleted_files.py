# Promise: files without a name, deleted while open or never named, count like any other.
# limits: scratch_bytes=2MiB
import errno
import os


def deleted():
    fd = os.open("short_lived", os.O_CREAT | os.O_RDWR)
    os.unlink("short_lived")
    return fd


def never_named():
    return os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)


held = []
for make in (deleted, never_named):
    reason = "no end"
    try:
        while len(held) < 200:
            held.append(make())
            os.write(held[-1], bytes(65536))
    except OSError as error:
        reason = errno.errorcode[error.errno]
    total = sum(os.fstat(fd).st_size for fd in held)
    word = "HELD" if total <= 3 << 20 and reason == "ENOSPC" else "BROKEN"
    print(word, f"{make.__name__}: {total} bytes in {len(held)} files: {reason}")
