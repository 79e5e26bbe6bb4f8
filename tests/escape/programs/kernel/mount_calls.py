# Promise: every call that mounts, unmounts or changes the root is refused.
# policies: default strict build
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
MS_BIND, MS_REMOUNT, MNT_DETACH, OPEN_TREE_CLONE = 4096, 32, 2, 1
HERE = -100
CALLS = [
    ("mount tmpfs", 165, b"x", b"/tmp", b"tmpfs", 0, None),
    ("mount proc", 165, b"proc", b"/tmp", b"proc", 0, None),
    ("bind", 165, b"/", b"/tmp", None, MS_BIND, None),
    ("remount", 165, None, b"/", None, MS_REMOUNT | MS_BIND, None),
    ("umount", 166, b"/tmp", MNT_DETACH),
    ("pivot_root", 155, b".", b"."),
    ("chroot", 161, b"/tmp"),
    ("open_tree", 428, HERE, b"/", OPEN_TREE_CLONE),
    ("open_tree_attr", 467, HERE, b"/", OPEN_TREE_CLONE, None, 0),
    ("move_mount", 429, HERE, b"/tmp", HERE, b"/workspace", 0),
    ("fsopen", 430, b"tmpfs", 0),
    ("fsconfig", 431, 0, 6, None, None, 0),
    ("fsmount", 432, 0, 0, 0),
    ("fspick", 433, HERE, b"/", 0),
    ("mount_setattr", 442, HERE, b"/", 0x8000, ctypes.create_string_buffer(32), 32),
    ("statmount", 457, ctypes.create_string_buffer(32), None, 0, 0),
    ("listmount", 458, ctypes.create_string_buffer(32), None, 0, 0),
]
with open("/proc/self/mountinfo") as file:
    before = file.read()
for what, number, *arguments in CALLS:
    result = libc.syscall(number, *arguments)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
    print(word, f"{what}: {result}, {errno.errorcode.get(reason, reason)}")
with open("/proc/self/mountinfo") as file:
    same = file.read() == before
print("HELD" if same and os.getcwd() == "/workspace" else "BROKEN", "the mounts are as before")
