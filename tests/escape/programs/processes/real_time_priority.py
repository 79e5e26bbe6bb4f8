# Promise: no program raises its priority, by nice value, scheduler, attribute or disk class.
import ctypes
import errno

SETPRIORITY, SETSCHEDULER, SETPARAM, SCHED_SETATTR, IOPRIO_SET = 141, 144, 142, 314, 251
FIFO, ROUND_ROBIN, DEADLINE = 1, 2, 6
libc = ctypes.CDLL(None, use_errno=True)


class Attributes(ctypes.Structure):
    """The kernel's struct sched_attr."""

    _fields_ = [(name, ctypes.c_uint32) for name in ("size", "policy")]
    _fields_ += [("flags", ctypes.c_uint64), ("nice", ctypes.c_int32)]
    _fields_ += [("priority", ctypes.c_uint32)]
    _fields_ += [(name, ctypes.c_uint64) for name in ("runtime", "deadline", "period")]


def standing():
    """Give nice value, real-time priority and scheduler, as the kernel tells them."""
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return fields[16], fields[37], fields[38]


def attempt(what, *call):
    ctypes.set_errno(0)
    result = libc.syscall(*call)
    refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
    held = result < 0 and refusal in {"EPERM", "EACCES"} and standing() == before
    print("HELD" if held else "BROKEN", f"{what}: {refusal}")


before = standing()
one = ctypes.byref(ctypes.c_int(1))
deadline = Attributes(48, DEADLINE, 0, 0, 0, 10_000_000, 20_000_000, 20_000_000)
attempt("nice -20", SETPRIORITY, 0, 0, -20)
attempt("FIFO", SETSCHEDULER, 0, FIFO, one)
attempt("round robin", SETSCHEDULER, 0, ROUND_ROBIN, one)
attempt("FIFO by attributes", SCHED_SETATTR, 0, ctypes.byref(Attributes(48, FIFO, 0, 0, 1)), 0)
attempt("deadline", SCHED_SETATTR, 0, ctypes.byref(deadline), 0)
attempt("real-time disk class", IOPRIO_SET, 1, 0, 1 << 13)
