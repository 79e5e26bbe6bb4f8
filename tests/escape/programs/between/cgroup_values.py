# Promise: a job learns no name, neighbour or value of the cgroups it is in.
# jobs: together

import os
import sys
import time

if sys.argv[1] == "first":
    print("READY", flush=True)
    time.sleep(60)
    sys.exit()

with open("/proc/self/cgroup") as file:
    places = [line.rstrip("\n").split(":", 2)[2] for line in file]
print("BROKEN" if set(places) - {"/"} else "HELD", "every cgroup is shown as the top", *places)

with open("/proc/self/mountinfo") as file:
    mounts = [line for line in file if " - cgroup" in line]
print("BROKEN" if mounts else "HELD", "no cgroup file system is mounted", *mounts)

paths = ("/sys/fs/cgroup", "/sys", "/proc/cgroups", "/proc/pressure/memory", "/proc/loadavg")
masked = [path for path in paths[:2] if os.path.exists(path)]
print("BROKEN" if masked else "HELD", "neither /sys nor its cgroups are there", *masked)
