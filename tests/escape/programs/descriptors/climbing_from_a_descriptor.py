# Promise: from no directory that a program holds do any number of ".." lead out of its root.

import os

UP = "/".join([".."] * 60)
root = os.stat("/")
top = (root.st_dev, root.st_ino)


def name(status):
    return status.st_dev, status.st_ino


starts = {"working directory": ".", "root": "/", "/tmp": "/tmp", "/dev/shm": "/dev/shm"}
starts["/proc/self/cwd"] = "/proc/self/cwd"
starts["/proc/self/root"] = "/proc/self/root"
starts["/usr"] = "/usr/bin"
for what, path in starts.items():
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    by_path = name(os.stat(f"{path}/{UP}"))
    by_descriptor = name(os.stat(UP, dir_fd=fd))
    by_link = name(os.stat(f"/proc/self/fd/{fd}/{UP}"))
    os.fchdir(fd)
    for _ in range(60):
        os.chdir("..")
    climbed = {by_path, by_descriptor, by_link, name(os.stat("."))}
    print("HELD" if climbed == {top} else "BROKEN", "from", what, os.getcwd())
    os.chdir("/workspace")
secret = os.environ["BAIT_FILE"]
print("BROKEN" if os.path.exists(f"/{UP}{secret}") else "HELD", "the host's file is not above")
