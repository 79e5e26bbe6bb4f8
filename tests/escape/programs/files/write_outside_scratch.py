# Promise: nothing outside the writable places can be made, changed, moved, removed or cut.
import errno
import os

REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EBUSY, errno.EXDEV}
REFUSED |= {errno.ENOTDIR, errno.ETXTBSY}
PLACES = ["/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/bin/", "/dev", "/proc", "/proc/self"]
FILES = ["/etc/passwd", "/etc/hosts", "/usr/bin/env", "/usr/bin/python3", "/etc/os-release"]
CREATE = os.O_CREAT | os.O_WRONLY


def attempts():
    for place in PLACES:
        new = os.path.join(place, "planted")
        yield f"create {new}", lambda new=new: os.open(new, CREATE)
        yield f"directory {new}", lambda new=new: os.mkdir(new)
        yield f"link {new}", lambda new=new: os.symlink("/tmp", new)
        yield f"nameless in {place}", lambda p=place: os.open(p, os.O_TMPFILE | os.O_WRONLY)
        yield f"mode of {place}", lambda place=place: os.chmod(place, 0o777)
    for file in FILES:
        yield f"write {file}", lambda file=file: os.open(file, os.O_WRONLY)
        yield f"append {file}", lambda file=file: os.open(file, os.O_RDWR | os.O_APPEND)
        yield f"cut {file}", lambda file=file: os.truncate(file, 0)
        yield f"remove {file}", lambda file=file: os.unlink(file)
        yield f"move {file}", lambda file=file: os.rename(file, file + ".old")
        yield f"own {file}", lambda file=file: os.chown(file, os.getuid(), os.getgid())
        yield f"date {file}", lambda file=file: os.utime(file, (0, 0))
        yield f"attribute of {file}", lambda file=file: os.setxattr(file, "user.x", b"x")


count = 0
for what, attempt in attempts():
    try:
        attempt()
    except OSError as error:
        if error.errno not in REFUSED | {errno.EISDIR, errno.EOPNOTSUPP}:
            print("BROKEN", f"{what}: {errno.errorcode[error.errno]}")
        count += 1
    else:
        print("BROKEN", f"{what}: done")
print("HELD" if count == len(PLACES) * 5 + len(FILES) * 8 else "BROKEN", f"{count} refused")
