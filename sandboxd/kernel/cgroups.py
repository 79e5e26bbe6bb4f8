"""Control groups: four rungs of a ladder behind one small interface.

Decides where a sandbox's cgroups lie and what is written into them. Does the making, reading,
killing and removing. Never moves a process: programs are cloned into their leaf (v2), or write
themselves into it while they are still ours (v1, whose `tasks` file does not wait).

Layout, in every hierarchy: ``<tree>/<sandbox>/{init,program}``. The sandbox's own directory bounds
the whole, so that nothing in it is unbounded; the program's leaf carries the job's limits. Init is
in a leaf of its own, or the kernel could be made to kill it for what the program allocated.
"""

from __future__ import annotations

import os
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.kernel import syscalls
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


def directories_for(tree: Tree) -> tuple[tuple[str, str], ...]:
    """Name the directories of one sandbox as (hierarchy, path below it), parents first.

    Only memory and the v2 tree need a leaf for init: elsewhere init need not be counted.
    """
    found = []
    for hierarchy in tree.paths:
        found.append((hierarchy, ""))
        if hierarchy in {UNIFIED, "memory"}:
            found.append((hierarchy, "init"))
        found.append((hierarchy, "program"))
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
        yield Write("pids", "program/pids.max", str(limits.process_count))
    if "cpu" in tree.paths and (quota := cpu_quota_us(limits)):
        yield Write("cpu", "program/cpu.cfs_period_us", str(CPU_PERIOD_US))
        yield Write("cpu", "program/cpu.cfs_quota_us", str(quota))


def cpu_quota_us(limits: Limits) -> int | None:
    """Give the time per period for a fraction of processors; None for whole ones.

    Whole ones are held by affinity, which throttles nobody in mid-period.
    """
    count = limits.cpu_count
    if count is None or float(count).is_integer():
        return None
    return max(1000, int(count * CPU_PERIOD_US))


def join_descriptors(tree: Tree, leaf: str) -> tuple[str, ...]:
    """Name the `tasks` descriptors through which a process enters its v1 leaves."""
    hierarchies = {hierarchy for hierarchy, path in directories_for(tree) if path == leaf}
    return tuple(f"{name}/{leaf}/tasks" for name in tree.v1 if name in hierarchies)


def join(tree: Tree, leaf: str) -> tuple[Operation, ...]:
    """Enter this process's v1 leaves; in v2 the clone has done it already."""
    names = join_descriptors(tree, leaf)
    if not names:
        return ()
    return (Operation(f"{leaf}_cgroup", "join_cgroups", tuple(descriptor(n) for n in names)),)


# --- do -------------------------------------------------------------------------------------------


class CgroupUsage(NamedTuple):
    """What a program's leaf has counted; None where this rung cannot tell."""

    cpu_time: timedelta | None
    user_time: timedelta | None
    system_time: timedelta | None
    peak_memory_bytes: int | None
    peak_process_count: int | None
    oom_kill_count: int
    throttled_time: timedelta
    processes_refused: bool


_OPTIONAL = {"memsw", "swap", "kmem"}


class SandboxCgroup:
    """The cgroups of one sandbox, from `create` to `remove`."""

    def __init__(self, tree: Tree, name: str) -> None:
        """Describe where they will lie; makes nothing yet."""
        self._tree = tree
        self._paths = {hierarchy: f"{path}/{name}" for hierarchy, path in tree.paths.items()}

    def create(self) -> None:
        """Make all directories; on a failure none is left."""
        made: list[str] = []
        try:
            for hierarchy, path in directories_for(self._tree):
                directory = self._join(hierarchy, path)
                os.mkdir(directory)
                made.append(directory)
        except OSError:
            for directory in reversed(made):
                os.rmdir(directory)
            raise

    def write(self, writes: tuple[Write, ...]) -> None:
        """Write limits; what a kernel does not account it has no file for, and nothing to limit."""
        for write in writes:
            try:
                _write(self._join(write.hierarchy, write.file), write.value)
            except FileNotFoundError:
                if not _OPTIONAL & set(write.file.split(".")):
                    raise

    def open_descriptors(self) -> dict[str, int]:
        """Open what zygote and init need to place processes; the caller closes them.

        ``sandbox``: the v2 directory, whose leaves the zygote opens and hands to the sandbox's own
        root. ``<controller>/<leaf>/tasks``: opened here because v1 checks the opener.
        """
        fds: dict[str, int] = {}
        try:
            if self._tree.unified:
                path = self._join(UNIFIED, "")
                fds["sandbox"] = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            for leaf in ("init", "program"):
                for name in join_descriptors(self._tree, leaf):
                    hierarchy, rest = name.split("/", 1)
                    fds[name] = os.open(self._join(hierarchy, rest), os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            for fd in fds.values():
                os.close(fd)
            raise
        return fds

    def kill(self) -> bool:
        """Kill all of the program's processes at once; False where only init can do it."""
        if not self._tree.unified:
            return False
        try:
            _write(self._join(UNIFIED, "program/cgroup.kill"), "1")
        except FileNotFoundError:  # Linux before 5.14
            return False
        return True

    def cpu_time(self) -> timedelta | None:
        """Read the processor time used so far by the program; None where this rung cannot tell."""
        if self._tree.unified:
            stat = _read_pairs(self._join(UNIFIED, "program/cpu.stat"))
            return timedelta(microseconds=stat["usage_usec"])
        if "cpuacct" in self._paths:
            nanoseconds = int(_read(self._join("cpuacct", "program/cpuacct.usage")))
            return timedelta(microseconds=nanoseconds // 1000)
        return None

    def usage(self) -> CgroupUsage:
        """Read everything that the leaf counted."""
        cpu: timedelta | None
        user = system = peak = peak_processes = None
        throttled = timedelta()
        if self._tree.unified:
            stat = _read_pairs(self._join(UNIFIED, "program/cpu.stat"))
            cpu = timedelta(microseconds=stat["usage_usec"])
            user = timedelta(microseconds=stat["user_usec"])
            system = timedelta(microseconds=stat["system_usec"])
            throttled = timedelta(microseconds=stat.get("throttled_usec", 0))
        elif (cpu := self.cpu_time()) is not None:
            user = _ticks(self._join("cpuacct", "program/cpuacct.usage_user"))
            system = _ticks(self._join("cpuacct", "program/cpuacct.usage_sys"))
        oom_kills = 0
        refused = False
        if memory := self._tree.limits_by("memory"):
            v2 = memory == "cgroup2"
            peak_file = "memory.peak" if v2 else "memory.max_usage_in_bytes"
            peak = self._number("memory", v2, peak_file)
            events = "memory.events" if v2 else "memory.oom_control"
            oom_kills = self._pairs("memory", v2, events).get("oom_kill", 0)
        if pids := self._tree.limits_by("pids"):
            v2 = pids == "cgroup2"
            refused = self._pairs("pids", v2, "pids.events").get("max", 0) > 0
            peak_processes = self._number("pids", v2, "pids.peak")
        if self._tree.limits_by("cpu") == "cgroup1":
            stat = self._pairs("cpu", False, "cpu.stat")  # noqa: FBT003 - not v2
            throttled = timedelta(microseconds=stat.get("throttled_time", 0) // 1000)
        return CgroupUsage(cpu, user, system, peak, peak_processes, oom_kills, throttled, refused)

    def remove(self) -> bool:
        """Remove all directories; False when the kernel still holds one (EBUSY): try again."""
        for hierarchy, path in reversed(directories_for(self._tree)):
            try:
                os.rmdir(self._join(hierarchy, path))
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True

    def _join(self, hierarchy: str, path: str) -> str:
        return f"{self._paths[hierarchy]}/{path}" if path else self._paths[hierarchy]

    def _file(self, controller: str, v2: bool, name: str) -> str:  # noqa: FBT001
        return self._join(UNIFIED if v2 else controller, f"program/{name}")

    def _number(self, controller: str, v2: bool, name: str) -> int | None:  # noqa: FBT001
        try:
            return int(_read(self._file(controller, v2, name)))
        except FileNotFoundError:  # memory.peak is of Linux 5.19, pids.peak of 6.1
            return None

    def _pairs(self, controller: str, v2: bool, name: str) -> dict[str, int]:  # noqa: FBT001
        return _read_pairs(self._file(controller, v2, name))


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


def _write(path: str, value: str) -> None:
    try:
        syscalls.write_file(path, value)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), f"{path} = {value}") from None


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096).decode()
    finally:
        os.close(fd)


def _read_pairs(path: str) -> dict[str, int]:
    pairs = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _ticks(path: str) -> timedelta:
    return timedelta(microseconds=int(_read(path)) // 1000)


VERBS = {"join_cgroups": Verb(join_cgroups, "enter own cgroups")}
