# Promise: writing through /proc/self/mem never reaches the pages of a shared file.

import ctypes
import mmap
import os

PATH = "/usr/bin/env"
PROTECTIONS = {"read": mmap.PROT_READ, "read and execute": mmap.PROT_READ | mmap.PROT_EXEC}
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)


def content():
    fd = os.open(PATH, os.O_RDONLY)
    found = os.pread(fd, 4096, 0)
    os.close(fd)
    return found


before = content()
file = os.open(PATH, os.O_RDONLY)
for name, protection in PROTECTIONS.items():
    for kind, flags in {"shared": mmap.MAP_SHARED, "private": mmap.MAP_PRIVATE}.items():
        address = libc.mmap(None, 4096, protection, flags, file, 0)
        how = "written"
        try:
            with open("/proc/self/mem", "r+b", buffering=0) as memory:
                memory.seek(address)
                memory.write(b"evil")
        except OSError as error:
            how = error.strerror
        libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(4096), 4)
        kept = content() == before and ctypes.string_at(address, 4) == before[:4]
        print("HELD" if kept else "BROKEN", f"{kind} pages, {name}: {how}, the file is as before")
shared = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, file, 0)
print("HELD" if shared == 2**64 - 1 else "BROKEN", "shared pages cannot be mapped to write")
