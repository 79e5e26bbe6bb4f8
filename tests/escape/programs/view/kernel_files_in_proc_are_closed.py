# Promise: where all of /proc is shown, the kernel's memory, log, keys and triggers stay closed.
# policies: nested
import os

for name in ("kcore", "kmsg", "kpagecount", "kpageflags", "slabinfo", "vmallocinfo", "timer_list"):
    path = f"/proc/{name}"
    if os.path.exists(path):
        try:
            os.close(os.open(path, os.O_RDONLY))
            print("BROKEN", f"{path} can be read")
        except PermissionError:
            print("HELD", f"{path} is closed")
for name in ("sysrq-trigger", "mtrr", "self/oom_score_adj", "latency_stats", "scsi/scsi"):
    path = f"/proc/{name}"
    if os.path.exists(path) and name != "self/oom_score_adj":
        try:
            os.close(os.open(path, os.O_WRONLY))
            print("BROKEN", f"{path} can be written")
        except PermissionError:
            print("HELD", f"{path} is closed")
with open("/proc/kallsyms") as file:
    addresses = {line.split()[0] for line, _ in zip(file, range(1000))}
print("HELD" if addresses <= {"0" * 16} else "BROKEN", "addresses of the kernel are zero")
