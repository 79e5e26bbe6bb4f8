# Promise: no BPF program, map or object can be made, found or attached.
import ctypes
import errno
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)
BPF, COMMANDS = 321, 40
attributes = ctypes.create_string_buffer(struct.pack("=4I", 1, 4, 4, 1), 144)
code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0))
text = ctypes.create_string_buffer(b"GPL")
program = struct.pack("=IIQQ", 1, 2, ctypes.addressof(code), ctypes.addressof(text))
program = ctypes.create_string_buffer(program, 144)
opened = []
for command in range(COMMANDS):
    for argument in (attributes, program):
        result = libc.syscall(BPF, command, argument, 144)
        if result != -1 or ctypes.get_errno() not in {errno.EPERM, errno.ENOSYS}:
            opened.append((command, result, ctypes.get_errno()))
print("BROKEN" if opened else "HELD", f"{COMMANDS} commands, not refused: {opened}")
print("BROKEN" if os.path.exists("/sys/fs/bpf") else "HELD", "no file system of BPF objects")
