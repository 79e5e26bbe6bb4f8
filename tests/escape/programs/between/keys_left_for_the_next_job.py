# Promise: no key in any keyring outlives a job or reaches another.
# jobs: after

import ctypes
import errno
import sys

ADD_KEY, REQUEST_KEY, KEYCTL = 248, 249, 250
SEARCH, LINK, GET_KEYRING = 10, 8, 0
RINGS = {"thread": -1, "process": -2, "session": -3, "user": -4, "user session": -5}
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
REFUSED = {errno.EPERM, errno.ENOSYS}


def call(*arguments):
    result = libc.syscall(*arguments)
    return result, ctypes.get_errno()


def first():
    for name, ring in RINGS.items():
        made, number = call(ADD_KEY, b"user", b"sandboxd", b"secret", ctypes.c_size_t(6), ring)
        if made >= 0:
            print("BROKEN a key is in the keyring of this", name)
        elif number not in REFUSED:
            print("BROKEN an odd error:", name, number)
        else:
            print(f"HELD add_key to the {name} keyring: {errno.errorcode[number]}")


def second():
    attempts = {"request_key": (REQUEST_KEY, b"user", b"sandboxd", None, 0)}
    for name, ring in RINGS.items():
        attempts[f"search of {name}"] = (KEYCTL, SEARCH, ring, b"user", b"sandboxd", 0)
        attempts[f"link of user to {name}"] = (KEYCTL, LINK, RINGS["user"], ring)
        attempts[f"number of {name}"] = (KEYCTL, GET_KEYRING, ring, 0)
    for what, arguments in attempts.items():
        found, number = call(*arguments)
        if found >= 0:
            print("BROKEN", what, "gave", found)
        elif number not in REFUSED:
            print("BROKEN an odd error:", what, number)
        else:
            print(f"HELD {what}: {errno.errorcode[number]}")


{"first": first, "second": second}[sys.argv[1]]()
