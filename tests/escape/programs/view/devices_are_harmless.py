# Promise: the only devices are null, zero, full, random, urandom, tty and the own terminals.
import os
import stat

HARMLESS = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)}
found = 0
for directory, directories, names in os.walk("/dev"):
    for name in [*directories, *names]:
        path = os.path.join(directory, name)
        status = os.lstat(path)
        if stat.S_ISBLK(status.st_mode):
            print("BROKEN", f"{path} is a disk")
        elif stat.S_ISCHR(status.st_mode):
            found += 1
            device = os.major(status.st_rdev), os.minor(status.st_rdev)
            if device not in HARMLESS and not path.startswith("/dev/pts/"):
                print("BROKEN", f"{path} is device {device}")
    directories[:] = [name for name in directories if not os.path.ismount(f"{directory}/{name}")]
for name in ("mem", "kmem", "port", "kmsg", "kvm", "fuse", "net/tun", "vhost-net", "userfaultfd"):
    if os.path.lexists(f"/dev/{name}"):
        print("BROKEN", f"/dev/{name} is there")
print("HELD" if found >= 6 else "BROKEN", f"{found} devices, all harmless")
try:
    os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    print("BROKEN", "/dev/tty leads to a terminal")
except OSError as error:
    print("HELD", f"/dev/tty leads nowhere: {error.strerror}")
