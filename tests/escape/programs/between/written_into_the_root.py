# Promise: the root that all jobs share cannot be changed by one of them.
# jobs: after

import errno
import os
import sys

NAME = "sandboxd-was-here"
DIRECTORIES = ("/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/var", "/dev", "/bin", "/proc", "/opt")
FILES = ("/etc/passwd", "/etc/hostname", "/etc/resolv.conf", "/usr/bin/python3.11", "/bin/sh")
REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ETXTBSY, errno.ENOSYS}


def attempts():
    for place in DIRECTORIES:
        path = os.path.join(place, NAME)
        yield f"create in {place}", lambda path=path: os.close(os.open(path, os.O_CREAT | 2, 0o777))
        yield f"mkdir in {place}", lambda path=path: os.mkdir(path)
        yield f"symlink in {place}", lambda path=path: os.symlink("/", path)
    for path in FILES:
        yield f"write {path}", lambda path=path: os.open(path, os.O_WRONLY)
        yield f"append {path}", lambda path=path: os.open(path, os.O_RDWR | os.O_APPEND)
        yield f"truncate {path}", lambda path=path: os.truncate(path, 0)
        yield f"chmod {path}", lambda path=path: os.chmod(path, 0o777)
        yield f"utime {path}", lambda path=path: os.utime(path, (1, 1))
        yield f"unlink {path}", lambda path=path: os.unlink(path)
        yield f"rename {path}", lambda path=path: os.rename(path, path + NAME)


def first():
    held = 0
    for what, attempt in attempts():
        try:
            attempt()
            print("BROKEN", what)
        except OSError as error:
            held += error.errno in REFUSED
            if error.errno not in REFUSED:
                print("BROKEN an odd error:", what, error)
    print("HELD", held, "changes were refused")


def second():
    found = [place for place in DIRECTORIES if os.path.lexists(os.path.join(place, NAME))]
    missing = [path for path in FILES if not os.path.getsize(path) and "resolv" not in path]
    print("BROKEN" if found or missing else "HELD", "the root is as before", *found, *missing)


{"first": first, "second": second}[sys.argv[1]]()
