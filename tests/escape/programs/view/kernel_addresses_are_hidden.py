# Promise: a process's own records tell no address of the kernel and no place in physical memory.
import ctypes
import mmap
import os
import re

page = mmap.mmap(-1, 4096)
page[:] = b"x" * 4096
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
try:
    fd = os.open("/proc/self/pagemap", os.O_RDONLY)
    entry = int.from_bytes(os.pread(fd, 8, address // 4096 * 8), "little")
    frame, is_present = entry & (1 << 55) - 1, entry >> 63
    print("HELD" if is_present and frame == 0 else "BROKEN", f"physical page of ours: {frame:#x}")
except PermissionError:
    print("HELD", "the table of pages does not open")
for name in ("stack", "wchan", "syscall", "stat", "status", "timers", "net/unix", "net/tcp"):
    try:
        with open(f"/proc/self/{name}") as file:
            text = file.read()
    except OSError as error:
        print("HELD", f"{name}: {error.strerror}")
        continue
    addresses = re.findall(r"\b(?:0x)?(ffff[0-9a-f]{12})\b", text)
    told = [found for found in addresses if set(found) != {"f"}]  # -1
    print("BROKEN" if told else "HELD", f"{name}: {told[:3]}")
