# Promise: io_uring, which carries calls past a filter, is not there.
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
for name, number, arguments in (
    ("setup", 425, (8, ctypes.create_string_buffer(120))),
    ("setup of an odd size", 425, (1, ctypes.create_string_buffer(120))),
    ("enter", 426, (0, 1, 0, 0, None, 0)),
    ("enter a registered ring", 426, (0, 1, 0, 1 << 4, None, 0)),
    ("register", 427, (0, 0, None, 0)),
    ("register without a ring", 427, (-1, 24, ctypes.create_string_buffer(64), 1)),
):
    result = libc.syscall(number, *arguments)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
    print(word, f"{name}: {result}, {errno.errorcode.get(reason)}")
