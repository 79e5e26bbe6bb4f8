# Promise: a program cannot be told of, or answer, system calls in the kernel's place.
import ctypes
import errno
import struct

libc = ctypes.CDLL(None, use_errno=True)
SECCOMP, FILTER, LISTENER, TSYNC, TSYNC_ESRCH, WAIT_KILLABLE = 317, 1, 8, 1, 16, 32
USER_NOTIFICATION = 0x7FC00000
code = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000), 8)
program = struct.pack("=HxxxxxxQ", 1, ctypes.addressof(code))
for flags in (
    *(LISTENER, LISTENER | WAIT_KILLABLE, LISTENER | TSYNC | TSYNC_ESRCH),
    *(LISTENER | 1 << 32, LISTENER | 1 << 63),
):
    result = libc.syscall(SECCOMP, FILTER, ctypes.c_ulong(flags), program)
    reason = ctypes.get_errno()
    refused = result == -1 and reason in {errno.EPERM, errno.EINVAL, errno.ENOSYS}
    print("HELD" if refused else "BROKEN", f"listener {flags:#x}: {result}, {reason}")
# Without a listener a notification is refused, so it answers nothing either.
size = libc.syscall(SECCOMP, 3, 0, ctypes.create_string_buffer(16))
print("BROKEN" if size > 0 else "HELD", "no descriptor of notifications came of it")
