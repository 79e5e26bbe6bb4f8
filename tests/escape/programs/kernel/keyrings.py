# Promise: no key can be made, asked for, found, read or linked, in no keyring.
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY, REQUEST_KEY, KEYCTL = 248, 249, 250
REFUSED = {errno.EPERM, errno.ENOSYS}
JOIN, SETPERM, SESSION = 1, 5, -3
opened = []


def attempt(what, number, *arguments):
    result = libc.syscall(number, *arguments)
    reason = ctypes.get_errno()
    if result != -1 or reason not in REFUSED:
        opened.append((what, result, errno.errorcode.get(reason)))


for keyring in range(-1, -9, -1):
    attempt(f"add to {keyring}", ADD_KEY, b"user", b"name", b"secret", 6, keyring)
    attempt(f"ask {keyring}", REQUEST_KEY, b"user", b"name", None, keyring)
    attempt(f"keyring in {keyring}", ADD_KEY, b"keyring", b"name", None, 0, keyring)
    for operation in range(35):
        if operation not in {JOIN, SETPERM}:
            attempt(f"operation {operation}", KEYCTL, operation, keyring, 0, 0, 0)
    if keyring != SESSION:
        attempt(f"permissions of {keyring}", KEYCTL, SETPERM, keyring, ctypes.c_ulong(0x3F3F3F3F))
attempt("join by name", KEYCTL, JOIN, b"named")
attempt("high bits", KEYCTL, ctypes.c_ulong(1 << 32 | 11), -3, None, 0, 0)
print("BROKEN" if opened else "HELD", f"keyrings: {opened[:10]}")
