# Promise: no way to a running program's file lets it be changed: the host's interpreter stays.

import errno
import os

TARGETS = ("/proc/self/exe", "/proc/thread-self/exe", "/proc/1/exe", os.path.realpath("/bin/sh"))
REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ETXTBSY, errno.ENOENT, errno.ENOSYS}


def head():
    with open("/usr/bin/python3", "rb") as file:
        return file.read(1 << 16), os.stat("/usr/bin/python3").st_size


def through_descriptor(path, flags):
    fd = os.open(path, os.O_PATH)
    os.close(os.open(f"/proc/self/fd/{fd}", flags))


before = head()
attempts = {}
for path in TARGETS:
    for name, flags in {"write": os.O_WRONLY, "cut": os.O_RDWR | os.O_TRUNC}.items():
        attempts[f"{name} {path}"] = lambda path=path, flags=flags: os.open(path, flags)
        attempts[f"{name} {path} by O_PATH"] = lambda path=path, flags=flags: through_descriptor(
            path, flags
        )
    attempts[f"truncate {path}"] = lambda path=path: os.truncate(path, 0)
    attempts[f"chmod {path}"] = lambda path=path: os.chmod(path, 0o666)
for entry in os.listdir("/proc/self/map_files") if os.path.isdir("/proc/self/map_files") else ():
    path = f"/proc/self/map_files/{entry}"
    attempts[f"write {path}"] = lambda path=path: os.open(path, os.O_RDWR)
held = 0
for what, attempt in attempts.items():
    try:
        attempt()
        print("BROKEN", what, "worked")
    except OSError as error:
        held += error.errno in REFUSED
        if error.errno not in REFUSED:
            print("BROKEN an odd error:", what, error.strerror)
print("HELD" if head() == before else "BROKEN", held, "ways were refused, the file is as before")
