# Promise: processes in a pid namespace of the program's own count, and end with it.
# limits: process_count=20
# policies: nested
# rungs: v2 v1
# ids: range
# check: touched process_count
# check: wall_below 5s
import ctypes
import errno
import os
import signal

NEWUSER, NEWPID = 0x10000000, 0x20000000
if ctypes.CDLL(None).unshare(NEWUSER | NEWPID) != 0:
    raise SystemExit("no namespace can be made")
ready, tell = os.pipe()
if os.fork() == 0:
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    children = 0
    try:
        while children < 200:
            if os.fork() == 0:
                signal.pause()
            children += 1
        refusal = "no refusal"
    except OSError as error:
        refusal = errno.errorcode[error.errno]
    held = os.getpid() == 1 and refusal == "EAGAIN" and children < 20
    verdict = "HELD" if held else "BROKEN"
    os.write(tell, f"{verdict} an inner init has {children} children: {refusal}".encode())
    while True:
        signal.pause()
print(os.read(ready, 200).decode())
