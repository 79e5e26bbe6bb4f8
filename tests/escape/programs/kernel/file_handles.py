# Promise: files cannot be opened by handles, which pass by the tree of directories.
import ctypes
import errno
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)
NAME_TO_HANDLE_AT, OPEN_BY_HANDLE_AT, HERE = 303, 304, -100
REFUSED = {errno.EPERM, errno.ENOSYS}
root = os.open("/", os.O_RDONLY)
mount = ctypes.c_int()
buffer = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0), 136)
result = libc.syscall(NAME_TO_HANDLE_AT, HERE, b"/usr", buffer, ctypes.byref(mount), 0)
reason = ctypes.get_errno()
word = "HELD" if result == -1 and reason in REFUSED else "BROKEN"
print(word, f"naming a handle: {result}, {errno.errorcode.get(reason)}")
for kind, size in ((1, 8), (2, 16), (0xFE, 12)):
    for inode in (1, 2, 128, 256):
        handle = struct.pack("=IiQII", size, kind, inode, 0, 0)
        for directory in (root, os.open("/usr", os.O_RDONLY), HERE):
            result = libc.syscall(OPEN_BY_HANDLE_AT, directory, handle, os.O_RDONLY)
            if result != -1 or ctypes.get_errno() not in REFUSED:
                print("BROKEN", f"handle {kind}, inode {inode}: {result}, {ctypes.get_errno()}")
print("HELD" if os.listdir(root) else "BROKEN", "the root was at hand, and no handle opened")
