# Promise: what an inner root mounts, shared or not, appears nowhere outside its own namespace.
# policies: nested
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
NEWUSER, NEWNS, MS_SHARED, MS_REC = 0x10000000, 0x20000, 1 << 20, 16384


def mounts():
    with open("/proc/self/mountinfo") as file:
        return [line.split()[4] for line in file]


before = mounts()
for place in ("/workspace/inner", "/tmp/inner"):
    os.mkdir(place)
    os.mkdir(f"{place}/there")
reader, writer = os.pipe()
go_reader, go_writer = os.pipe()
pid = os.fork()
if pid == 0:
    libc.unshare(NEWUSER | NEWNS)
    libc.mount(None, b"/", None, MS_SHARED | MS_REC, None)
    for place in (b"/workspace/inner", b"/tmp/inner"):
        libc.mount(b"x", place, b"tmpfs", 0, None)
    inside = {"/workspace/inner", "/tmp/inner"} <= set(mounts())
    os.write(writer, b"+" if inside else b"-")
    os.read(go_reader, 1)
    os._exit(0)
mounted = os.read(reader, 1) == b"+"
print("HELD" if mounted and mounts() == before else "BROKEN", "the mounts here are as before")
here = os.listdir("/workspace/inner"), os.listdir("/tmp/inner")
print("HELD" if here == (["there"], ["there"]) else "BROKEN", f"the places here: {here}")
os.write(go_writer, b"!")
os.waitpid(pid, 0)
