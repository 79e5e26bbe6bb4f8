# Promise: neither /sys nor any cgroup, debug, trace or security file system is mounted or named.
import os

PATHS = [
    *("/sys", "/sys/fs/cgroup", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/fs/bpf"),
    *("/sys/kernel/security", "/sys/fs/selinux", "/sys/firmware/efi/efivars", "/cgroup"),
    *("/dev/cgroup", "/dev/mqueue", "/dev/hugepages", "/sys/fs/cgroup/memory/release_agent"),
]
there = [path for path in PATHS if os.path.lexists(path)]
print("BROKEN" if there else "HELD", f"of {len(PATHS)} places: {there}")
with open("/proc/self/mountinfo") as file:
    # Single devices are bound from the host's devtmpfs; its root is what must not be there.
    whole = [line for line in file if line.split()[3] == "/"]
kinds = {line.partition(" - ")[2].split()[0] for line in whole}
of_the_kernel = {"sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf"}
of_the_kernel |= {"configfs", "mqueue", "hugetlbfs", "devtmpfs", "efivarfs", "binfmt_misc"}
bad = sorted(kinds & of_the_kernel)
print("BROKEN" if bad or "proc" not in kinds else "HELD", f"file systems of the kernel: {bad}")
