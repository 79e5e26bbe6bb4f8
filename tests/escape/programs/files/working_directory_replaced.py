# Promise: the writable places cannot be moved, removed or replaced by links before collection.
# outputs: result
# check: file result =mine
import errno
import os

with open("result", "w") as file:
    file.write("mine")
for place in ("/workspace", "/tmp", "/dev/shm", "/proc", "/usr", "/dev"):
    for what, attempt in (
        ("move", lambda place=place: os.rename(place, "/tmp/moved")),
        ("remove", lambda place=place: os.rmdir(place)),
        ("replace", lambda place=place: os.rename("/tmp", place)),
        ("cover", lambda place=place: os.symlink("/etc", place)),
    ):
        try:
            attempt()
        except OSError as error:
            if error.errno not in {
                *(errno.EBUSY, errno.EROFS, errno.EXDEV, errno.EACCES, errno.EPERM),
                *(errno.EEXIST, errno.ENOTEMPTY, errno.EINVAL),
            }:
                print("BROKEN", f"{what} {place}: {errno.errorcode[error.errno]}")
        else:
            print("BROKEN", f"{what} {place}: done")
print("HELD" if os.path.realpath("/workspace") == os.getcwd() else "BROKEN", "all are in place")
