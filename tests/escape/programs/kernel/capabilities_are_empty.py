# Promise: every set of capabilities is empty, and no call fills one or lifts no_new_privs.
import ctypes
import struct

libc = ctypes.CDLL(None, use_errno=True)
CAPSET, PRCTL = 126, 157
VERSION_3 = 0x20080522
header = struct.pack("=Ii", VERSION_3, 0)
ATTEMPTS = [
    ("capset all", CAPSET, header, struct.pack("=6I", *[0xFFFFFFFF] * 6)),
    ("capset inheritable", CAPSET, header, struct.pack("=6I", 0, 0, 1, 0, 0, 0)),
    ("raise ambient", PRCTL, 47, 2, 21, 0, 0),
    ("keep capabilities", PRCTL, 28, 0x2F, 0, 0, 0),
    ("no_new_privs off", PRCTL, 38, 0, 0, 0, 0),
    ("no_new_privs off, high bits", PRCTL, ctypes.c_ulong(1 << 32 | 38), 0, 0, 0, 0),
]
for what, number, *arguments in ATTEMPTS:
    result = libc.syscall(number, *arguments)
    print("HELD" if result == -1 else "BROKEN", f"{what}: errno {ctypes.get_errno()}")
bounding = [number for number in range(64) if libc.prctl(23, number, 0, 0, 0) == 1]
print("BROKEN" if bounding else "HELD", f"bounding set: {bounding}")
with open("/proc/self/status") as file:
    status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
sets = [int(status[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
print("BROKEN" if any(sets) else "HELD", f"sets: {sets}")
locks = status["NoNewPrivs"], status["Seccomp"]
print("HELD" if locks == ("1", "2") else "BROKEN", f"no_new_privs, seccomp: {locks}")
