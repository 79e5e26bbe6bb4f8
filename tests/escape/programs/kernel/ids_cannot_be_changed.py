# Promise: no user or group id but the own can be taken, no group joined.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
CALLS = {"setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114}
CALLS |= {"setresuid": 117, "setresgid": 119, "setfsuid": 122, "setfsgid": 123}
before = os.getresuid(), os.getresgid(), os.getgroups()
taken = []
for name, number in CALLS.items():
    for id_ in (0, 1, 999, 1001, 65534, 2**32 - 2, 1 << 32):
        result = libc.syscall(number, *[ctypes.c_long(id_)] * 3)
        if result == 0 and "fs" not in name:
            taken.append((name, id_))
        if "fs" in name and libc.syscall(number, ctypes.c_long(-1)) != 1000:
            taken.append((name, id_))
for group in (0, 1, 1000, 65534):
    try:
        os.setgroups([group])
        taken.append(("setgroups", group))
    except OSError:
        pass
after = os.getresuid(), os.getresgid(), os.getgroups()
print("BROKEN" if taken else "HELD", f"ids taken: {taken}")
same = after == before and before[:2] == ((1000,) * 3, (1000,) * 3) and not {0} & set(after[2])
print("HELD" if same else "BROKEN", f"ids: {after}")
with open("/proc/self/status") as file:
    lines = [line.split() for line in file if line.startswith(("Uid:", "Gid:"))]
print("HELD" if all(line[1:] == ["1000"] * 4 for line in lines) else "BROKEN", str(lines))
