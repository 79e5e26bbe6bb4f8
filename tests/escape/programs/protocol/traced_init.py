# Promise: init cannot be traced, by any request and with any upper bits.
# expect: exited 0 | denied ptrace

import ctypes
import errno

PTRACE = 101
ATTACH, SEIZE, TRACEME, PEEKDATA, GETREGS, INTERRUPT = 16, 0x4206, 0, 2, 12, 0x4207
HIGH = 1 << 32
REFUSED = {errno.EPERM, errno.ESRCH, errno.EACCES, errno.ENOSYS, errno.EIO}
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
buffer = ctypes.create_string_buffer(512)
REQUESTS = {
    "attach": ATTACH,
    "attach with high bits": ATTACH | HIGH,
    "seize": SEIZE,
    "interrupt": INTERRUPT,
    "peek": PEEKDATA,
    "registers": GETREGS,
}
for what, request in REQUESTS.items():
    data = 0 if request == SEIZE else ctypes.addressof(buffer)
    result = libc.syscall(PTRACE, ctypes.c_ulong(request), 1, None, ctypes.c_void_p(data))
    number = ctypes.get_errno()
    if result == 0:
        print("BROKEN", what, "worked on init")
    else:
        print("HELD" if number in REFUSED else "BROKEN", f"{what}: {errno.errorcode[number]}")
