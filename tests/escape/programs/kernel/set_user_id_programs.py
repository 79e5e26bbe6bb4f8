# Promise: a set-user-id program of the host runs with the caller's own rights.
# policies: default build nested
import os
import stat

OURS = {"AT_UID", "AT_EUID", "AT_GID", "AT_EGID", "AT_SECURE"}
names = ("su", "passwd", "mount", "umount", "chsh", "newgrp", "gpasswd", "sudo", "newuidmap")
privileged = [path for name in names if os.path.exists(path := f"/usr/bin/{name}")]
privileged = [path for path in privileged if os.stat(path).st_mode & stat.S_ISUID]
if not privileged:
    print("BROKEN", "there is no set-user-id program: nothing was tried")
# The loader tells its auxiliary vector on demand, but never in a program that gained rights.
for path in privileged[:4]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.execve(path, [path, "--version"], {"LD_SHOW_AUXV": "1"})
    os.close(writer)
    with os.fdopen(reader, errors="replace") as output:
        lines = [line.partition(":") for line in output]
    os.waitpid(pid, 0)
    told = {name: int(value) for name, _, value in lines if name in OURS}
    ours = told == dict.fromkeys(OURS - {"AT_SECURE"}, 1000) | {"AT_SECURE": 0}
    print("HELD" if ours else "BROKEN", f"{path}: {told}")
