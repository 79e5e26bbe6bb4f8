# Promise: no file can be given capabilities or attributes of the trusted and security kinds.
# outputs: tool
# check: file tool =content
import errno
import os
import struct

with open("tool", "w") as file:
    file.write("content")
every = 0xFFFFFFFF
revision_2 = struct.pack("<5I", 0x02000001, every, every, every, every)
revision_3 = struct.pack("<6I", 0x03000001, every, every, every, every, 0)
ATTEMPTS = [
    ("security.capability", revision_2),
    ("security.capability", revision_3),
    ("security.ima", b"\x01"),
    ("trusted.overlay.opaque", b"y"),
    ("system.unknown", b"x"),
]
for name, value in ATTEMPTS:
    try:
        os.setxattr("tool", name, value)
    except OSError as error:
        word = "HELD" if error.errno in {errno.EPERM, errno.EOPNOTSUPP} else "BROKEN"
        print(word, f"{name} of {len(value)} bytes: {errno.errorcode[error.errno]}")
    else:
        print("BROKEN", f"the file has {os.listxattr('tool')}")
