# Promise: no file of the host is there but the chosen system directories: no secret, home or log.
import errno
import os

ABSENT = [
    *("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/etc/machine-id", "/etc/fstab"),
    *("/etc/subuid", "/etc/cron.d", "/etc/ssl/private", "/etc/crypttab", "/etc/sandboxd"),
    *("/root", "/home", "/var/log", "/var/lib", "/var/run", "/run", "/boot", "/srv", "/mnt"),
    *("/media", "/opt", "/lost+found", "/vmlinuz", "/swapfile", "/var/tmp", "/.dockerenv"),
    os.environ["BAIT_FILE"],
    os.environ["BAIT_UNIX"],
]
for path in ABSENT:
    try:
        os.lstat(path)
        print("BROKEN", f"{path} is there")
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
            print("BROKEN", f"{path}: {errno.errorcode[error.errno]} tells that it exists")
known = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr"}
extra = set(os.listdir("/")) - known - {"workspace"}
print("BROKEN" if extra else "HELD", f"{len(ABSENT)} paths are absent; besides: {sorted(extra)}")
