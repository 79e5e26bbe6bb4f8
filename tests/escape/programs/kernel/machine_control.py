# Promise: restarting, swap, accounting, quotas, host names and hang-ups are not the program's.
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
CAD_OFF = 0  # the one command of reboot(2) that stops nothing
fd = os.open("swap", os.O_CREAT | os.O_RDWR, 0o600)
os.ftruncate(fd, 40960)
node = os.uname()
for name, number, arguments in (
    ("reboot", 169, (ctypes.c_uint(0xFEE1DEAD), 672274793, CAD_OFF, None)),
    ("swapon", 167, (b"/workspace/swap", 0)),
    ("swapoff", 168, (b"/workspace/swap",)),
    ("acct", 163, (b"/workspace/swap",)),
    ("quotactl", 179, (0x800007 << 8, b"/dev/null", 0, ctypes.create_string_buffer(256))),
    ("quotactl_fd", 443, (fd, 0x800007 << 8, 0, ctypes.create_string_buffer(256))),
    ("sethostname", 170, (b"broken", 6)),
    ("setdomainname", 171, (b"broken", 6)),
    ("vhangup", 153, ()),
    ("sync", 162, ()),
    ("syncfs", 306, (fd,)),
    ("sched_setaffinity of init", 203, (1, 8, ctypes.create_string_buffer(b"\xff" * 8))),
):
    result = libc.syscall(number, *arguments)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
    print(word, f"{name}: {result}, {errno.errorcode.get(reason)}")
print("HELD" if os.uname() == node else "BROKEN", f"the names are {os.uname().nodename}")
