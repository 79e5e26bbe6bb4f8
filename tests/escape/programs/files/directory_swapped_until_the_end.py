# Promise: a child that swaps a directory with a link until it is killed leads no output astray.
# policies: default build nested
# outputs: result/hostname
# check: nowhere sandbox
import ctypes
import os

RENAME_EXCHANGE, AT_FDCWD, RENAMEAT2 = 2, -100, 316
libc = ctypes.CDLL(None, use_errno=True)
os.mkdir("result")
with open("result/hostname", "w") as file:
    file.write("mine")
os.symlink("/etc", "link")
ready, ready_child = os.pipe()
if os.fork() == 0:
    os.setsid()
    swaps = 0
    while True:
        libc.syscall(RENAMEAT2, AT_FDCWD, b"result", AT_FDCWD, b"link", RENAME_EXCHANGE)
        swaps += 1
        if swaps == 101:
            os.write(ready_child, b"!")
swapping = os.read(ready, 1) == b"!"
with open("/etc/hostname") as file:
    host_name = file.read()
ready_to_tell = swapping and host_name == "sandbox\n"
print("HELD" if ready_to_tell else "BROKEN", "the directory is swapped while the program ends")
