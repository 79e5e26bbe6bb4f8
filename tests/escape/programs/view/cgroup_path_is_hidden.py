# Promise: a program sees its own cgroup as the root: no name of a unit, user or other job.
with open("/proc/self/cgroup") as file:
    lines = file.read().splitlines()
paths = {line.split(":", 2)[2] for line in lines}
print("HELD" if lines and paths == {"/"} else "BROKEN", f"{len(lines)} hierarchies: {paths}")
