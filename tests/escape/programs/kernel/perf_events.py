# Promise: no performance event can be opened, neither of the kernel nor of the own process.
import ctypes
import errno
import struct

libc = ctypes.CDLL(None, use_errno=True)
PERF_EVENT_OPEN, EXCLUDE_KERNEL, EXCLUDE_HYPERVISOR, SIZE = 298, 1 << 5, 1 << 6, 128
opened, count = [], 0
for kind, config in ((0, 0), (1, 0), (1, 9), (2, 0), (3, 0), (4, 0x3C)):  # hardware ... raw
    for flags in (0, EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR):
        event = struct.pack("=IIQQQQQ", kind, SIZE, config, 0, 0, 0, flags | 1).ljust(SIZE, b"\0")
        for pid, cpu in ((0, -1), (-1, 0), (0, 0)):
            buffer = ctypes.create_string_buffer(event, SIZE)
            result = libc.syscall(PERF_EVENT_OPEN, buffer, pid, cpu, -1, ctypes.c_ulong(0))
            count += 1
            if result != -1 or ctypes.get_errno() not in {errno.EPERM, errno.ENOSYS}:
                opened.append((kind, config, pid, cpu, result, ctypes.get_errno()))
print("BROKEN" if opened else "HELD", f"{count} events, not refused: {opened}")
