"""What no job may change, whatever it calls: looked at before and after."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from house import House

SETTINGS = (
    *("fs/file-max", "fs/pipe-max-size", "fs/protected_hardlinks", "fs/suid_dumpable"),
    *("kernel/core_pattern", "kernel/domainname", "kernel/dmesg_restrict", "kernel/hostname"),
    *("kernel/keys/maxkeys", "kernel/msgmax", "kernel/msgmni", "kernel/pid_max", "kernel/printk"),
    *("kernel/randomize_va_space", "kernel/sched_rt_runtime_us", "kernel/sem", "kernel/shmmax"),
    *("kernel/shmmni", "kernel/sysrq", "kernel/threads-max", "kernel/yama/ptrace_scope"),
    *("net/core/somaxconn", "net/ipv4/ip_forward", "net/ipv4/ping_group_range"),
    *("user/max_user_namespaces", "vm/overcommit_memory", "vm/swappiness"),
)
TABLES = ("/proc/sysvipc/msg", "/proc/sysvipc/sem", "/proc/sysvipc/shm")
CLOCK_SECONDS = 1.0


def host_state(house: House) -> dict[str, object]:
    """Give all that must be the same after a job as before."""
    limits = {
        name: resource.getrlimit(getattr(resource, name))
        for name in dir(resource)
        if name.startswith("RLIMIT_")
    }
    return {
        "mounts": _read("/proc/self/mountinfo"),
        "settings": {name: _read(f"/proc/sys/{name}") for name in SETTINGS},
        "swaps": _read("/proc/swaps"),
        "launcher": house.launcher(),
        "limits": limits,
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": os.sched_getaffinity(0),
        "umask": [line for line in _read("/proc/self/status").splitlines() if "Umask" in line],
    }


def clock_offset() -> float:
    """Give the time of day less the time since boot."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def is_left(house: House) -> list[object]:
    """Name what jobs have left behind: processes, cgroups, and System V objects of their ids."""
    house.settle()
    cgroups = (path for path in house.cgroups() if "/jobs/" in path)
    ids = {str(number) for number in house.host_ids()}
    rows = (line.split() for table in TABLES for line in _read(table).splitlines())
    return [*house.sandboxed(), *cgroups, *(row for row in rows if ids & {*row[2:]})]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
