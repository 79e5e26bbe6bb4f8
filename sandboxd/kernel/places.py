"""The cgroups of one sandbox, as the daemon has them: made, written, read, killed, removed.

`cgroups` decides where they lie and what they hold.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.kernel.cgroups import UNIFIED, directories_for, join_descriptors, leaf_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.kernel.cgroups import Tree, Write


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


class Layout:
    """Where a sandbox's cgroups lie: worked out once for all sandboxes of a kind."""

    def __init__(self, tree: Tree, *, quota: bool) -> None:
        """Work it out."""
        self.has_quota = quota
        self.directories = directories_for(tree, quota=quota)
        self.tasks = {
            name: place
            for process in ("init", "program")
            for name, place in join_descriptors(tree, process, quota=quota).items()
        }


class Places:
    """The delegated directories, held open: a path from there is short to walk."""

    def __init__(self, tree: Tree) -> None:
        """Open them; `close` closes them."""
        self.tree = tree
        self.fds: dict[str, int] = {}
        self.layouts = {quota: Layout(tree, quota=quota) for quota in (False, True)}
        """By whether a sandbox can be held to a fraction of a processor."""
        self.open()

    def open(self) -> None:
        """Open them anew: whoever removed and made one again has made another."""
        fresh: dict[str, int] = {}
        try:
            for hierarchy, path in self.tree.paths.items():
                fresh[hierarchy] = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            for fd in fresh.values():
                os.close(fd)
            raise
        self.close()
        self.fds.update(fresh)

    def close(self) -> None:
        """Close them; what lies in them stays."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


class SandboxCgroup:
    """The cgroups of one sandbox, from `create` to `remove`."""

    def __init__(self, places: Places, name: str, *, quota: bool) -> None:
        """Describe where they will lie; makes nothing yet. `quota`: whether cpu may be a part."""
        self._places = places
        self._tree = places.tree
        self._name = name
        self._layout = places.layouts[quota]

    def create(self) -> None:
        """Make all directories; on a failure none is left."""
        try:
            self._make_all()
        except FileNotFoundError:
            self._places.open()
            self._make_all()

    def _make_all(self) -> None:
        made: list[tuple[str, str]] = []
        try:
            for place in self._layout.directories:
                self._at(os.mkdir, *place)
                made.append(place)
        except OSError:
            for place in reversed(made):
                self._at(os.rmdir, *place)
            raise

    def write(self, writes: tuple[Write, ...]) -> None:
        """Write limits; what a kernel does not account it has no file for, and nothing to limit."""
        for write in writes:
            try:
                self._write(*write)
            except FileNotFoundError:
                if not _OPTIONAL & set(write.file.split(".")):
                    raise

    def open_descriptors(self) -> dict[str, int]:
        """Open what zygote and init need to place processes; the caller closes them.

        ``sandbox``: the v2 directory, whose leaves the zygote opens and hands to the sandbox's own
        root. ``<controller>/<process>/tasks``: opened here because v1 checks the opener.
        """
        fds: dict[str, int] = {}
        try:
            if self._tree.unified:
                fds["sandbox"] = self._open(UNIFIED, "", os.O_PATH | os.O_DIRECTORY)
            for name, (hierarchy, path) in self._layout.tasks.items():
                fds[name] = self._open(hierarchy, path, os.O_WRONLY)
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
            self._write(UNIFIED, "program/cgroup.kill", "1")
        except FileNotFoundError:  # Linux before 5.14
            return False
        return True

    def freeze(self, *, is_frozen: bool) -> bool:
        """Stop all of the program's processes, or let them go on; False where only init can."""
        if not self._tree.unified:
            return False
        try:
            self._write(UNIFIED, "program/cgroup.freeze", str(int(is_frozen)))
        except FileNotFoundError:  # Linux before 5.2
            return False
        return True

    def is_frozen(self) -> bool:
        """Tell whether all of them stand."""
        return self._pairs(UNIFIED, "cgroup.events").get("frozen") == 1

    def cpu_time(self) -> timedelta | None:
        """Read the processor time used so far by the program; None where this rung cannot tell."""
        if self._tree.unified:
            return timedelta(microseconds=self._pairs(UNIFIED, "cpu.stat")["usage_usec"])
        if "cpuacct" in self._tree.paths:
            return self._counted("cpuacct.usage")
        return None

    def usage(self) -> CgroupUsage:
        """Read everything that the leaf counted."""
        cpu: timedelta | None
        user = system = peak = peak_processes = None
        throttled = timedelta()
        if self._tree.unified:
            stat = self._pairs(UNIFIED, "cpu.stat")
            cpu = timedelta(microseconds=stat["usage_usec"])
            user = timedelta(microseconds=stat["user_usec"])
            system = timedelta(microseconds=stat["system_usec"])
            throttled = timedelta(microseconds=stat.get("throttled_usec", 0))
        elif (cpu := self.cpu_time()) is not None:
            user = self._counted("cpuacct.usage_user")
            system = self._counted("cpuacct.usage_sys")
        oom_kills = 0
        refused = False
        if memory := self._tree.limits_by("memory"):
            v2 = memory == "cgroup2"
            hierarchy = UNIFIED if v2 else "memory"
            peak = self._number(hierarchy, "memory.peak" if v2 else "memory.max_usage_in_bytes")
            events = "memory.events" if v2 else "memory.oom_control"
            oom_kills = self._pairs(hierarchy, events).get("oom_kill", 0)
        if pids := self._tree.limits_by("pids"):
            hierarchy = UNIFIED if pids == "cgroup2" else "pids"
            refused = self._pairs(hierarchy, "pids.events").get("max", 0) > 0
            peak_processes = self._number(hierarchy, "pids.peak")
        if self._layout.has_quota and self._tree.limits_by("cpu") == "cgroup1":
            stat = self._pairs("cpu", "cpu.stat")
            throttled = timedelta(microseconds=stat.get("throttled_time", 0) // 1000)
        return CgroupUsage(cpu, user, system, peak, peak_processes, oom_kills, throttled, refused)

    def now(self) -> tuple[int | None, int | None]:
        """Tell the memory in use now, in bytes, and the processes and threads alive now."""
        memory = processes = None
        if controller := self._tree.limits_by("memory"):
            v2 = controller == "cgroup2"
            name = "memory.current" if v2 else "memory.usage_in_bytes"
            memory = self._number(UNIFIED if v2 else "memory", name)
        if controller := self._tree.limits_by("pids"):
            hierarchy = UNIFIED if controller == "cgroup2" else "pids"
            processes = self._number(hierarchy, "pids.current")
        return memory, processes

    def remove(self) -> bool:
        """Remove all directories; False when the kernel still holds one (EBUSY): try again."""
        for place in reversed(self._layout.directories):
            try:
                self._at(os.rmdir, *place)
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True

    def _path(self, path: str) -> str:
        return f"{self._name}/{path}" if path else self._name

    def _at(self, do: Callable[..., None], hierarchy: str, path: str) -> None:
        """Do something to a directory; an error names it in full."""
        try:
            do(self._path(path), dir_fd=self._places.fds[hierarchy])
        except OSError as error:
            raise self._named(error, hierarchy, path) from None

    def _open(self, hierarchy: str, path: str, flags: int) -> int:
        place_fd = self._places.fds[hierarchy]
        try:
            return os.open(self._path(path), flags | os.O_CLOEXEC, dir_fd=place_fd)
        except OSError as error:
            raise self._named(error, hierarchy, path) from None

    def _named(self, error: OSError, hierarchy: str, path: str, value: str = "") -> OSError:
        place = f"{self._tree.paths[hierarchy]}/{self._path(path)}{value}"
        return OSError(error.errno, os.strerror(error.errno or 0), place)

    def _write(self, hierarchy: str, path: str, value: str) -> None:
        """Write a value, which the kernel takes whole or not at all."""
        fd = self._open(hierarchy, path, os.O_WRONLY)
        try:
            os.write(fd, value.encode())
        except OSError as error:
            raise self._named(error, hierarchy, path, f" = {value}") from None
        finally:
            os.close(fd)

    def _read(self, hierarchy: str, name: str) -> bytes:
        """Read a file of the program's leaf."""
        leaf = leaf_for(hierarchy, "program")
        path = f"{leaf}/{name}" if leaf else name
        fd = self._open(hierarchy, path, os.O_RDONLY)
        try:
            return os.read(fd, 4096)
        except OSError as error:
            raise self._named(error, hierarchy, path) from None
        finally:
            os.close(fd)

    def _number(self, hierarchy: str, name: str) -> int | None:
        try:
            return int(self._read(hierarchy, name))
        except FileNotFoundError:  # memory.peak is of Linux 5.19, pids.peak of 6.1
            return None

    def _pairs(self, hierarchy: str, name: str) -> dict[str, int]:
        words = self._read(hierarchy, name).decode().split()
        return dict(zip(words[::2], map(int, words[1::2]), strict=True))

    def _counted(self, name: str) -> timedelta:
        """Read a clock of cpuacct's, which is in nanoseconds."""
        return timedelta(microseconds=int(self._read("cpuacct", name)) // 1000)
