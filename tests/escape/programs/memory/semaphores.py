# Promise: semaphores, which live in the kernel, stay below memory_bytes or are refused.
# limits: memory_bytes=64MiB
# expect: exited 0 | limit memory_bytes
import ctypes
import errno

PER_SET = 32_000
SET_BYTES = PER_SET * 64  # the kernel gives each semaphore a line of the cache
libc = ctypes.CDLL(None, use_errno=True)
sets = 0
while sets * SET_BYTES < 128 << 20 and libc.semget(0, PER_SET, 0o600) >= 0:
    sets += 1
refusal = errno.errorcode.get(ctypes.get_errno(), "no refusal")
held = sets * SET_BYTES <= 64 << 20
print("HELD" if held else "BROKEN", f"{sets} sets of {PER_SET}, then: {refusal}")
