# Promise: no program locks memory beyond memlock_bytes.
# limits: memlock_bytes=0
import ctypes
import errno
import mmap

MLOCK, MLOCKALL, MLOCK2 = 149, 151, 325
MAP_LOCKED = 0x2000
libc = ctypes.CDLL(None, use_errno=True)
room = mmap.mmap(-1, 1 << 20)
address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(room)))


def locked():
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith("VmLck"))


def attempt(what, *call):
    ctypes.set_errno(0)
    result = libc.syscall(*call)
    refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
    held = result < 0 and refusal in {"EPERM", "ENOMEM"} and locked() == "0"
    print("HELD" if held else "BROKEN", f"{what}: {refusal}")


attempt("mlock", MLOCK, address, 4096)
attempt("mlock2 on fault", MLOCK2, address, 4096, 1)
attempt("mlockall of now and later", MLOCKALL, 3)
try:
    mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_LOCKED)
    print("HELD" if locked() == "0" else "BROKEN", "a locked mapping: made, but not locked")
except OSError as error:
    print("HELD a locked mapping:", errno.errorcode[error.errno])
