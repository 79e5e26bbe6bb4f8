# Promise: numbers that only x32 has do not work without its bit: 520 is not a second execve.
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
page = ctypes.create_string_buffer(4096)
done = []
for number in range(512, 548):
    result = libc.syscall(ctypes.c_long(number), page, page, page, 8, 0, 0)
    if result != -1 or ctypes.get_errno() != errno.ENOSYS:
        done.append((number, result, ctypes.get_errno()))
print("BROKEN" if done else "HELD", f"36 numbers, not unknown: {done}")
