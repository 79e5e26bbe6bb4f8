# Promise: huge pages, which nothing counts, cannot be had.
import ctypes
import errno
import mmap
import os

MAP_HUGETLB, MFD_HUGETLB, SHM_HUGETLB = 0x40000, 4, 0o4000
SIZE = 2 << 20
libc = ctypes.CDLL(None, use_errno=True)


def mapping(fd, flags):
    room = mmap.mmap(fd, SIZE, flags)
    room[0] = 1


def memory_file():
    fd = os.memfd_create("huge", MFD_HUGETLB)
    os.ftruncate(fd, SIZE)
    mapping(fd, mmap.MAP_SHARED)


def segment():
    if libc.shmget(0, SIZE, SHM_HUGETLB | 0o1600) < 0:
        raise OSError(ctypes.get_errno(), "shmget")


def attempt(what, call, *arguments):
    try:
        call(*arguments)
        print(f"BROKEN {what}: it is there")
    except OSError as error:
        refusal = errno.errorcode[error.errno]
        held = refusal in {"ENOMEM", "EPERM", "ENOSYS", "EINVAL", "ENOENT"}
        print("HELD" if held else "BROKEN", f"{what}: {refusal}")


attempt("a huge mapping", mapping, -1, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_HUGETLB)
attempt("a shared one", mapping, -1, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | MAP_HUGETLB)
attempt("a huge memory file", memory_file)
attempt("a huge segment", segment)
