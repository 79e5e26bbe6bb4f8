# Promise: of /proc only processes are shown: no memory, symbols, keys, devices or load of the host.
# policies: default strict
import os

NAMES = [
    *("kcore", "kmsg", "kallsyms", "keys", "key-users", "timer_list", "sysrq-trigger", "modules"),
    *("iomem", "ioports", "interrupts", "slabinfo", "vmallocinfo", "kpagecount", "kpageflags"),
    *("config.gz", "cmdline", "version", "partitions", "diskstats", "devices", "mounts_host"),
    *("loadavg", "uptime", "stat", "meminfo", "vmstat", "pressure", "cgroups", "swaps", "locks"),
    *("sys", "sysvipc", "bus", "irq", "driver", "fs", "scsi", "acpi", "tty", "asound", "mtrr"),
    *("buddyinfo", "zoneinfo", "pagetypeinfo", "crypto", "filesystems", "misc", "softirqs"),
]
there = [name for name in NAMES if os.path.lexists(f"/proc/{name}")]
print("BROKEN" if there else "HELD", f"of {len(NAMES)} files of the kernel: {there}")
allowed = {"self", "thread-self", "net", "mounts"}
other = [name for name in os.listdir("/proc") if not name.isdecimal() and name not in allowed]
print("BROKEN" if other else "HELD", f"besides processes: {other}")
