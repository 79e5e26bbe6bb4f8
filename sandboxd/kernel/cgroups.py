"""Control groups: four rungs of a ladder behind one small interface.

Decides where a sandbox's cgroups lie and what is written into them; `places` makes, reads and
removes them. Does what the processes inside do themselves. Never moves a process: programs are
cloned into their leaf (v2), or write themselves into it while they are still ours (v1, whose
`tasks` file does not wait).

Layout: ``<tree>/<sandbox>`` bounds the whole, so that nothing in it is unbounded, and the program's
leaf carries the job's limits. Where only the program is counted (v1's pids, cpu, cpuacct) that is
one directory. Init is never in the program's leaf, or the kernel could be made to kill it for what
the program allocated: in v1 it is in the sandbox's directory, in v2, whose inner directories hold
no process, in a leaf of its own. Each directory costs as much as the rest of a small job's cgroup
work: so there is none that nothing needs.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.model.tape import Operation, Verb, descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandboxd.model.limits import Limits

CPU_PERIOD_US = 100_000
INIT_OVERHEAD_BYTES = 48 << 20
"""What init may use beside the program and the placed files; it needs about 2 MiB of its own."""

UNIFIED = ""
"""The name of the v2 hierarchy among the controllers of v1."""
V1_CONTROLLERS = ("memory", "pids", "cpuacct", "cpu")


class Rung(Enum):
    """How much this host's cgroups can do for us, from most to least."""

    V2 = "v2"
    V2_BARE = "v2-bare"
    V1 = "v1"
    NONE = "none"


class Tree(NamedTuple):
    """The delegated places: by controller for v1, under `UNIFIED` for v2."""

    rung: Rung
    paths: dict[str, str]
    controllers: frozenset[str] = frozenset()
    """What the v2 tree can limit: of memory, pids, cpu, cpuset."""

    @property
    def unified(self) -> str | None:
        """The v2 tree, which also gives clone-into, kill and freeze; None where there is none."""
        return self.paths.get(UNIFIED)

    @property
    def v1(self) -> tuple[str, ...]:
        """The v1 controllers that are ours."""
        return tuple(name for name in V1_CONTROLLERS if name in self.paths)

    def limits_by(self, controller: str) -> str | None:
        """Tell what enforces through this controller: ``cgroup2``, ``cgroup1`` or None."""
        if controller in self.controllers:
            return "cgroup2"
        return "cgroup1" if controller in self.paths else None


class Write(NamedTuple):
    """One value for one file, below a sandbox's directory in one hierarchy."""

    hierarchy: str
    file: str
    value: str


def hierarchies_for(tree: Tree, *, quota: bool) -> tuple[str, ...]:
    """Name the hierarchies in which a sandbox has a place.

    v1's cpu only holds fractions of a processor (`quota`), and v2 counts processor time, too.
    """
    needless = {"cpuacct"} if tree.unified else set()
    return tuple(n for n in tree.paths if n not in (needless if quota else {*needless, "cpu"}))


def leaf_for(hierarchy: str, process: str) -> str | None:
    """Give the path of ``init``'s or the ``program``'s leaf below a sandbox's directory.

    None where that process is not counted. In a v2 tree without controllers, where a directory may
    hold both processes and leaves, init stays in the sandbox's own.
    """
    if hierarchy == UNIFIED:
        return process
    if hierarchy == "memory":
        return "program" if process == "program" else ""
    return "" if process == "program" else None


def directories_for(tree: Tree, *, quota: bool) -> tuple[tuple[str, str], ...]:
    """Name the directories of one sandbox as (hierarchy, path below it), parents first."""
    found = []
    for hierarchy in hierarchies_for(tree, quota=quota):
        has_init = hierarchy != UNIFIED or tree.controllers
        processes = ("init", "program") if has_init else ("program",)
        leaves = (leaf_for(hierarchy, process) for process in processes)
        found += [(hierarchy, ""), *((hierarchy, leaf) for leaf in leaves if leaf)]
    return tuple(found)


def writes_for(
    tree: Tree, limits: Limits, placed_bytes: int, processors: tuple[int, ...]
) -> tuple[Write, ...]:
    """Turn limits into the values of cgroup files, in the order in which they must be written."""
    return tuple(_v2_writes(tree, limits, placed_bytes, processors)) + tuple(
        _v1_writes(tree, limits, placed_bytes)
    )


def _v2_writes(
    tree: Tree, limits: Limits, placed_bytes: int, processors: tuple[int, ...]
) -> Iterator[Write]:
    if not tree.controllers:
        return
    enabled = " ".join(f"+{name}" for name in sorted(tree.controllers))
    yield Write(UNIFIED, "cgroup.subtree_control", enabled)
    if "memory" in tree.controllers and limits.memory_bytes is not None:
        total = limits.memory_bytes + placed_bytes + INIT_OVERHEAD_BYTES
        yield Write(UNIFIED, "memory.max", str(total))
        yield Write(UNIFIED, "memory.swap.max", "0")
        yield Write(UNIFIED, "program/memory.max", str(limits.memory_bytes))
        yield Write(UNIFIED, "program/memory.oom.group", "1")
    if "pids" in tree.controllers:
        yield Write(UNIFIED, "program/pids.max", str(limits.process_count))
    if "cpu" in tree.controllers and (quota := cpu_quota_us(limits)):
        yield Write(UNIFIED, "program/cpu.max", f"{quota} {CPU_PERIOD_US}")
    if "cpuset" in tree.controllers:
        yield Write(UNIFIED, "program/cpuset.cpus", ",".join(map(str, processors)))


def _v1_writes(tree: Tree, limits: Limits, placed_bytes: int) -> Iterator[Write]:
    if "memory" in tree.paths and limits.memory_bytes is not None:
        total = limits.memory_bytes + placed_bytes + INIT_OVERHEAD_BYTES
        # The sum with swap may never be below the limit without it: so that one comes first.
        for prefix, value in (("", total), ("program/", limits.memory_bytes)):
            yield Write("memory", prefix + "memory.limit_in_bytes", str(value))
            yield Write("memory", prefix + "memory.memsw.limit_in_bytes", str(value))
        # v1 counts the buffers of TCP apart.
        tcp = "program/memory.kmem.tcp.limit_in_bytes"
        yield Write("memory", tcp, str(limits.memory_bytes))
    if "pids" in tree.paths:
        yield Write("pids", "pids.max", str(limits.process_count))
    if "cpu" in tree.paths and (quota := cpu_quota_us(limits)):
        yield Write("cpu", "cpu.cfs_period_us", str(CPU_PERIOD_US))
        yield Write("cpu", "cpu.cfs_quota_us", str(quota))


def cpu_quota_us(limits: Limits) -> int | None:
    """Give the time per period for a fraction of processors; None for whole ones.

    Whole ones are held by affinity, which throttles nobody in mid-period.
    """
    count = limits.cpu_count
    if count is None or float(count).is_integer():
        return None
    return max(1000, int(count * CPU_PERIOD_US))


def join_descriptors(tree: Tree, process: str, *, quota: bool) -> dict[str, tuple[str, str]]:
    """Name the `tasks` files through which a process enters its v1 leaves, by descriptor."""
    found = {}
    for hierarchy in hierarchies_for(tree, quota=quota):
        leaf = leaf_for(hierarchy, process)
        if hierarchy != UNIFIED and leaf is not None:
            path = f"{leaf}/tasks" if leaf else "tasks"
            found[f"{hierarchy}/{process}/tasks"] = (hierarchy, path)
    return found


def join(tree: Tree, process: str, *, quota: bool) -> tuple[Operation, ...]:
    """Enter this process's v1 leaves; in v2 the clone has done it already."""
    fds = tuple(descriptor(name) for name in join_descriptors(tree, process, quota=quota))
    return (Operation(f"{process}_cgroup", "join_cgroups", fds),) if fds else ()


# --- do -------------------------------------------------------------------------------------------


def join_cgroups(*tasks_fds: int) -> None:
    """Enter v1 leaves through open `tasks` files; "0" means the writer."""
    for fd in tasks_fds:
        os.write(fd, b"0")


def hand_over(sandbox_fd: int, id_: int) -> None:
    """Let the sandbox's own root clone the program into its leaf.

    The kernel checks write permission on the leaf's and on the common ancestor's cgroup.procs.
    """
    for path in ("cgroup.procs", "program/cgroup.procs"):
        os.chown(path, id_, -1, dir_fd=sandbox_fd)


VERBS = {"join_cgroups": Verb(join_cgroups, "enter own cgroups")}
