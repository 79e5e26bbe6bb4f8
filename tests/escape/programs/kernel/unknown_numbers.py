# Promise: numbers that nobody knows are told to be unknown, so that newer calls are not reached.
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
numbers = [*range(388, 424), *range(600, 1100), 2**16, 2**20, 2**30 - 1]
numbers += [-1, -2, -(2**31), 2**31, 2**32 - 1]
done = []
for number in numbers:
    result = libc.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0, 0)
    if result != -1 or ctypes.get_errno() != errno.ENOSYS:
        done.append((number, result, ctypes.get_errno()))
print("BROKEN" if done else "HELD", f"{len(numbers)} numbers, not unknown: {done[:20]}")
