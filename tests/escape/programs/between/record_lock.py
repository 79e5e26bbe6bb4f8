# Promise: under strict, no record lock or lease on a shared file can be set or asked for.
# policies: strict
# jobs: together

import ctypes
import errno
import os
import struct
import sys
import time

FCNTL = 72
F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_SETLEASE = 5, 6, 7, 36, 37, 1024
F_RDLCK, F_WRLCK, F_UNLCK = 0, 1, 2
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/usr/bin/env", os.O_RDONLY)


def control(command, kind):
    """Give what the kernel says, and the lock that it names."""
    record = ctypes.create_string_buffer(struct.pack("hhqqi4x", kind, 0, 0, 0, 0), 32)
    argument = record if command != F_SETLEASE else ctypes.c_ulong(kind)
    result = libc.syscall(FCNTL, fd, ctypes.c_ulong(command), argument)
    return result, ctypes.get_errno(), struct.unpack_from("h", record)[0]


for name in ("F_SETLK", "F_SETLKW", "F_OFD_SETLK", "F_SETLEASE"):
    result, number, _ = control(globals()[name], F_RDLCK)
    if result == 0:
        print("BROKEN", name, "gave a lock on a shared file")
    else:
        print(f"HELD {name}: {errno.errorcode[number]}")
for name in ("F_GETLK", "F_OFD_GETLK"):
    result, number, kind = control(globals()[name], F_WRLCK)
    if result == 0 and kind != F_UNLCK:
        print("BROKEN", name, "tells of a neighbour's lock")
    else:
        print(f"HELD {name}:", errno.errorcode[number] if result else "no lock is there")
if sys.argv[1] == "first":
    print("READY", flush=True)
    time.sleep(60)
