# Promise: an own user namespace holds one's own id alone: not init's, the daemon's or root's.
# policies: nested
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
NEWUSER = 0x10000000


def in_child(lines):
    """Try the map in a process of its own, whose namespace is new; give who it became."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.unshare(NEWUSER)
        told = "refused"
        try:
            with open("/proc/self/setgroups", "w") as file:
                file.write("deny")
            with open("/proc/self/uid_map", "w") as file:
                file.write(lines)
            told = "mapped"
        except OSError:
            pass
        os.write(writer, told.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(reader, 20).decode()


print("HELD" if in_child("0 1000 1") == "mapped" else "BROKEN", "the own id can be mapped")
OTHERS = ["0 0 1", "1000 0 1", "0 1 1", "0 0 65536", "0 999 2", "0 1000 1\n1 0 1", "0 65534 1"]
for lines in OTHERS:
    print("HELD" if in_child(lines) == "refused" else "BROKEN", f"map {lines!r}")
try:
    os.chown("/proc/self/uid_map", 0, 0)
    print("BROKEN", "the map was given away")
except OSError as error:
    print("HELD", f"giving the map away: {error.strerror}")
