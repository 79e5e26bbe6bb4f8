# Promise: however deep or many, namespaces of a nested job end at a fixed number.
# policies: nested
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
NEWUSER, NEWNS, NEWNET = 0x10000000, 0x20000, 0x40000000
for name, flag, most in (("mount", NEWNS, 256), ("network", NEWNET, 128)):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        libc.unshare(NEWUSER)
        # A descriptor on each keeps it; the limit of descriptors would end it sooner, so move on.
        made, reason, held = 0, 0, []
        while made < most + 50:
            if libc.unshare(flag):
                reason = ctypes.get_errno()
                break
            made += 1
            kind = "mnt" if flag == NEWNS else "net"
            if len(held) < 200:
                held.append(os.open(f"/proc/self/ns/{kind}", os.O_RDONLY))
            elif os.fork():
                os.waitpid(-1, 0)
                os._exit(0)
        os.write(writer, f"{made} {errno.errorcode.get(reason)}".encode())
        os._exit(0)
    os.close(writer)
    told = b""
    while piece := os.read(reader, 100):
        told += piece
    os.waitpid(pid, 0)
    made, reason = told.decode().split()
    held = reason == "ENOSPC" and int(made) <= most
    print("HELD" if held else "BROKEN", f"{made} {name} namespaces: {reason}")
