"""Reads what a server and the kernel hold: memory, processes, descriptors, cgroups, namespaces.

What only root may read comes by descriptors that root opened before it became the test user
(`open_as_root`); where there is none, that figure is left out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Counts = dict[str, int]

SLAB_VARIABLE = "SANDBOXD_BENCHMARK_SLABINFO"
MEMORY = {
    "MemAvailable": "memory_available_kib",
    "AnonPages": "anonymous_kib",
    "SUnreclaim": "slab_unreclaimable_kib",
    "PageTables": "page_tables_kib",
    "KernelStack": "kernel_stacks_kib",
    "Percpu": "percpu_kib",
}
"""Of /proc/meminfo, under our names."""


def open_as_root() -> tuple[int, ...]:
    """Open, as root, what the test user may only read when it is open already."""
    if os.geteuid() != 0:
        return ()
    fd = os.open("/proc/slabinfo", os.O_RDONLY)
    os.environ[SLAB_VARIABLE] = str(fd)
    return (fd,)


def of_kernel() -> Counts:
    """Read what the whole machine holds: memory in KiB, cgroups, open files, threads."""
    found = {name: _number(text) for name, text in _fields(_read("/proc/meminfo")).items()}
    counts = {ours: found[theirs] for theirs, ours in MEMORY.items() if theirs in found}
    for line in _read("/proc/cgroups").splitlines():
        name, _, count, *_ = line.split()
        if name in {"memory", "pids", "cpuacct"}:
            counts[f"{name}_cgroups"] = int(count)
    counts["cgroups"] = descendant_count("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
    counts["open_files"] = int(_read("/proc/sys/fs/file-nr").split()[0])
    counts["threads"] = int(_read("/proc/loadavg").split()[3].partition("/")[2])
    return counts | _of_slab()


def descendant_count(*places: str) -> int:
    """Count the cgroups of the v2 hierarchy, dying ones included."""
    for place in places:
        stat = dict(line.split() for line in _read(f"{place}/cgroup.stat").splitlines())
        if "nr_descendants" in stat:
            return int(stat["nr_descendants"]) + int(stat["nr_dying_descendants"])
    return 0


def _of_slab() -> Counts:
    """Count net namespaces, which the kernel takes down late; some may be free already."""
    line = _slab_lines().get("net_namespace")
    return {} if line is None else {"net_namespaces": int(line[0])}


def of_slab_caches() -> Counts:
    """Tell what each of the kernel's caches holds, in KiB; nothing where only root may look."""
    page_kib = os.sysconf("SC_PAGE_SIZE") // 1024
    return {
        name: int(fields[13]) * int(fields[4]) * page_kib for name, fields in _slab_lines().items()
    }


def _slab_lines() -> dict[str, list[str]]:
    """Read /proc/slabinfo by cache: active objects, objects, size, per slab, pages per slab ..."""
    if SLAB_VARIABLE not in os.environ:
        return {}
    text, fd = b"", int(os.environ[SLAB_VARIABLE])
    while piece := os.pread(fd, 1 << 16, len(text)):
        text += piece
    lines = (line.split() for line in text.decode().splitlines()[2:])
    return {name: fields for name, *fields in lines}


def of_processes(pids: Iterable[int]) -> dict[str, Counts]:
    """Read, by the processes' names, how many there are and their resident memory in KiB."""
    found: dict[str, Counts] = {}
    for pid in pids:
        fields = _fields(_read(f"/proc/{pid}/status"))
        if "VmRSS" not in fields:
            continue  # it has gone meanwhile
        name = fields["Name"] if fields["Name"].startswith("sandboxd") else "program"
        one = found.setdefault(name, {"count": 0, "resident_kib": 0, "page_tables_kib": 0})
        one["count"] += 1
        one["resident_kib"] += _number(fields["VmRSS"])
        one["page_tables_kib"] += _number(fields["VmPTE"])
    return found


def of_process(pid: int) -> Counts:
    """Read one process: resident memory in KiB, open descriptors, threads."""
    fields = _fields(_read(f"/proc/{pid}/status"))
    counts = {"resident_kib": _number(fields.get("VmRSS", "0"))}
    counts["threads"] = _number(fields.get("Threads", "0"))
    with suppress(OSError):  # a helper of another user id does not show its own
        counts["descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
    return counts


def descendants(pid: int) -> list[int]:
    """Name every process below one, parents first."""
    found = [pid]
    for other in found:
        with suppress(OSError):
            for task in os.listdir(f"/proc/{other}/task"):
                found += map(int, _read(f"/proc/{other}/task/{task}/children").split())
    return found[1:]


def proportional_kib(pids: Iterable[int]) -> int | None:
    """Sum what processes hold, shared pages by their share; None where we may not look."""
    try:
        texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    except OSError:
        return None
    return sum(_number(_fields(text)["Pss"]) for text in texts)


def growth(before: Mapping[str, int], after: Mapping[str, int]) -> Counts:
    """Tell by how much each figure has grown."""
    return {name: after[name] - before[name] for name in after if name in before}


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _number(text: str) -> int:
    return int(text.split(maxsplit=1)[0])


def _read(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text()
    return ""
