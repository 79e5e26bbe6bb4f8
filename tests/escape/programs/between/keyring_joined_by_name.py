# Promise: two jobs cannot meet in a session keyring of one name.
# jobs: together

import ctypes
import errno
import sys
import time

KEYCTL, JOIN, SETPERM, DESCRIBE, SESSION = 250, 1, 5, 6, -3
ALL = 0x3F3F3F3F
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NAME = ctypes.create_string_buffer(b"sandboxd-meeting")
HIGH = 1 << 32


def tries():
    """Say the operation in 32 bits, and with bits above them, which the kernel drops."""
    for operation in (JOIN, JOIN | HIGH):
        result = libc.syscall(KEYCTL, ctypes.c_ulong(operation), NAME)
        yield operation, result, ctypes.get_errno()


def first():
    for operation, result, number in tries():
        if result >= 0:
            print(f"BROKEN joined by name with operation {operation:#x}: {result}")
            libc.syscall(KEYCTL, SETPERM, SESSION, ALL)
        elif number not in {errno.EPERM, errno.ENOSYS}:
            print("BROKEN an odd error:", number)
    print("READY", flush=True)
    time.sleep(60)


def second():
    for operation, result, number in tries():
        if result >= 0:
            print(f"BROKEN joined by name with operation {operation:#x}: {result}")
        else:
            print(f"HELD join by name, operation {operation:#x}: {errno.errorcode[number]}")
    buffer = ctypes.create_string_buffer(256)
    if libc.syscall(KEYCTL, DESCRIBE, SESSION, buffer, 256) >= 0 and NAME.value in buffer.raw:
        print("BROKEN the session's keyring is", buffer.value)


{"first": first, "second": second}[sys.argv[1]]()
