# Promise: no program keeps sibling processors idle by core scheduling, with high bits or without.
import ctypes
import errno

PRCTL, PR_SCHED_CORE = 157, 62
CREATE, SHARE_FROM = 1, 3
HIGH = 1 << 32
libc = ctypes.CDLL(None, use_errno=True)
for option in (PR_SCHED_CORE, PR_SCHED_CORE | HIGH):
    for command in (CREATE, SHARE_FROM):
        ctypes.set_errno(0)
        result = libc.syscall(PRCTL, ctypes.c_ulong(option), command, 0, 0, 0)
        refusal = errno.errorcode.get(ctypes.get_errno(), "no error")
        held = result < 0 and refusal == "EPERM"
        print("HELD" if held else "BROKEN", f"prctl {option:#x} {command}: {refusal}")
