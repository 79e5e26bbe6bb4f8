# Promise: no module and no other kernel can be loaded.
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/usr/bin/env", os.O_RDONLY)
for name, number, arguments in (
    ("init_module", 175, (b"\x7fELF", 4, b"")),
    ("finit_module", 313, (fd, b"", 0)),
    ("finit_module, compressed", 313, (fd, b"", 4)),
    ("delete_module", 176, (b"no_such_module", os.O_NONBLOCK)),
    ("create_module", 174, (b"x", 4096)),
    ("query_module", 178, (None, 1, None, 0, None)),
    ("kexec_load", 246, (0, 0, None, 0)),
    ("kexec_file_load", 320, (fd, fd, 0, b"", 0)),
):
    result = libc.syscall(number, *arguments)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
    print(word, f"{name}: {result}, {errno.errorcode.get(reason)}")
