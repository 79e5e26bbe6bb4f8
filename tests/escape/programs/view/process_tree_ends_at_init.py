# Promise: parent, session, group and terminal of a program lead no further than to init.
import os

with open("/proc/self/stat") as file:
    fields = file.read().rpartition(")")[2].split()
parent, group, session, terminal, foreground = map(int, fields[1:6])
own = os.getpid()
print("HELD" if parent == os.getppid() == 1 else "BROKEN", f"parent: {parent}")
print("HELD" if group == session == own else "BROKEN", f"group {group}, session {session}")
print("HELD" if (terminal, foreground) == (0, -1) else "BROKEN", f"terminal: {terminal}")
with open("/proc/self/status") as file:
    status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
for name in ("NSpid", "NStgid", "NSsid", "NSpgid"):
    print("HELD" if status[name] == str(own) else "BROKEN", f"{name}: {status[name]}")
print("HELD" if status["TracerPid"] == "0" else "BROKEN", f"tracer: {status['TracerPid']}")
