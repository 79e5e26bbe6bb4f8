# Promise: the kernel's log can be neither read, measured nor silenced.
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
SYSLOG = 103
buffer = ctypes.create_string_buffer(4096)
for action in (0, 2, 3, 4, 5, 6, 7, 8, 9, 10):
    if action == 2:
        continue  # it would wait for the next message
    result = libc.syscall(SYSLOG, action, buffer, 4096)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
    print(word, f"syslog action {action}: {result}, {errno.errorcode.get(reason)}")
for path in ("/dev/kmsg", "/proc/kmsg"):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        covered = os.fstat(fd).st_rdev == os.makedev(1, 3) and not os.read(fd, 4096)
        print("HELD" if covered else "BROKEN", f"{path} opens, covered with /dev/null: {covered}")
    except OSError as error:
        print("HELD", f"{path}: {errno.errorcode[error.errno]}")
