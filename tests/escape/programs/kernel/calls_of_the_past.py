# Promise: calls that hardly anybody uses, and that once were kernel bugs, are refused.
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
page = ctypes.create_string_buffer(8192)
reader, writer = os.pipe()
vector = (ctypes.c_ulong * 2)(ctypes.addressof(page), 1)
CALLS = {
    "io_setup": (206, 1, ctypes.byref(ctypes.c_ulong())),
    "io_submit": (209, 0, 0, None),
    "vmsplice": (278, writer, vector, 1, 0),
    "remap_file_pages": (216, ctypes.addressof(page) & ~4095, 4096, 0, 0, 0),
    "lookup_dcookie": (212, 0, page, 4096),
    "uselib": (134, b"/usr/bin/env"),
    "ustat": (136, 0, page),
    "sysfs": (139, 3),
    "_sysctl": (156, page),
    "nfsservctl": (180, 0, page, page),
    "getpmsg": (181,),
    "afs_syscall": (183,),
    "get_kernel_syms": (177, None),
    "tuxcall": (184,),
    "security": (185,),
    "vserver": (236,),
}
for name, (number, *arguments) in CALLS.items():
    result = libc.syscall(number, *arguments)
    reason = ctypes.get_errno()
    word = "HELD" if result == -1 and reason in {errno.EPERM, errno.ENOSYS} else "BROKEN"
    print(word, f"{name}: {result}, {errno.errorcode.get(reason)}")
