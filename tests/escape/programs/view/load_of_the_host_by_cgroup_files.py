# Promise: files that tell of memory, processor pressure or peers are not reachable by any name.
# policies: default strict
import os

FILES = ["memory.current", "memory.max", "cgroup.procs", "cpu.stat", "pids.current", "tasks"]
ROOTS = ["/sys/fs/cgroup", "/proc/self/root/sys/fs/cgroup", "/run/cgroup", "/dev/cgroup", "/cgroup"]
found = [f"{root}/{file}" for root in ROOTS for file in FILES if os.path.exists(f"{root}/{file}")]
found += [path for path in ("/proc/pressure/cpu", "/proc/loadavg") if os.path.exists(path)]
print("BROKEN" if found else "HELD", f"files of cgroups and load: {found}")
names = os.listdir("/proc/self")
print("HELD" if "cgroup" in names and "status" in names else "BROKEN", "the own process is shown")
