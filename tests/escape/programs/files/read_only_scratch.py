# Promise: a job without scratch space can write nowhere, not even an empty file or an attribute.
# limits: scratch_bytes=0
import errno
import os

for place in ("/workspace", "/tmp", "/dev/shm", "/", "/dev", "/etc"):
    for what, attempt in (
        ("a file", lambda place=place: os.open(f"{place}/x", os.O_CREAT | os.O_WRONLY)),
        ("a directory", lambda place=place: os.mkdir(f"{place}/d")),
        ("a nameless file", lambda place=place: os.open(place, os.O_TMPFILE | os.O_RDWR)),
        ("an attribute", lambda place=place: os.setxattr(place, "user.x", b"x")),
    ):
        try:
            attempt()
        except OSError as error:
            if error.errno not in {errno.EROFS, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP}:
                print("BROKEN", f"{what} in {place}: {errno.errorcode[error.errno]}")
        else:
            print("BROKEN", f"{what} in {place}")
space = os.statvfs("/workspace")
print("HELD" if space.f_flag & os.ST_RDONLY else "BROKEN", "the scratch space is read-only")
