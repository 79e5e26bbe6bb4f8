"""How many live sandboxes fit on this host, and which of the kernel's bounds says so.

Pure over the texts of small files; `read_texts` reads them once, at the start. What is in use then
is taken off. A sandbox counts as live until the kernel has let go of it.
"""

from __future__ import annotations

import os
import re
import resource
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.identity import IdMode
from sandboxd.kernel import delegation
from sandboxd.kernel.cgroups import UNIFIED
from sandboxd.kernel.idmap import IDS_PER_SANDBOX
from sandboxd.model.limits import (
    DESCRIPTORS_PER_BLANK,
    DESCRIPTORS_PER_JOB,
    DESCRIPTORS_PER_SANDBOX,
    MIB,
    SPARE_DESCRIPTORS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sandboxd.identity import Identity
    from sandboxd.kernel.cgroups import Tree

Texts = dict[str, str]
"""Files by their paths; one that cannot be read is not there."""

PROCESSES_PER_SANDBOX = 2
"""Init and the program. What a program starts is bounded by its own limits, not here."""
FILES_PER_SANDBOX = 32
"""Open files in the whole system: the daemon's, init's and the program's; 19 were measured."""
CGROUPS_PER_SANDBOX = 3
"""In a hierarchy that tells init from the program."""
MEMORY_PER_SANDBOX = 2 * MIB
"""Of the host, for a blank one with the Python zygote: 2.1 MB were measured, 0.6 of them slab."""
KEY_BYTES = 5
"""What the kernel counts for a session keyring: its name, ``_ses``, and an end."""
MEMORY_CGROUPS = 65535
"""The kernel numbers memory cgroups with 16 bits."""
NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")
SPARE_NAMESPACES = 8
"""For launcher and zygotes."""
SPARE_PROCESSES = 64
SPARE_FILES = 1024
SPARE_KEYS = 8
LATE = 8
"""One part in so many is kept free where the kernel frees late: keyrings, network namespaces."""

_FILES = (
    *("/proc/loadavg", "/proc/meminfo", "/proc/cgroups", "/proc/key-users", "/proc/sys/fs/file-nr"),
    *(f"/proc/sys/user/max_{kind}_namespaces" for kind in NAMESPACES),
    *("/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max", "/proc/sys/fs/file-max"),
    *("/proc/sys/kernel/keys/maxkeys", "/proc/sys/kernel/keys/maxbytes"),
    "/proc/sys/fs/epoll/max_user_watches",
)
_CGROUP_FILES = {
    "pids.max": "pids.current",
    "cgroup.max.descendants": "cgroup.stat",
    "memory.max": "",
}
"""What bounds everything below a cgroup, and the file that tells how much is in use."""


class Supply(NamedTuple):
    """Something that there is so much of, and what each live sandbox takes of it."""

    name: str
    total: int
    each: int
    used: int = 0
    """By others, when it was looked at."""
    spare: int = 0
    remedy: str = ""
    """Empty for a sysctl, whose remedy follows from its name."""

    @property
    def sandbox_count(self) -> int:
        """How many sandboxes it is enough for; one is always tried."""
        return max(1, (self.total - self.used - self.spare) // self.each)

    @property
    def evidence(self) -> str:
        """Say what it comes to."""
        used = f", {self.used} in use" if self.used else ""
        spare = f", {self.spare} spare" if self.spare else ""
        return f"{self.name} = {self.total}{used}{spare}, {self.each} for each sandbox"

    @property
    def mending(self) -> str:
        """Say what makes it larger: the command, or the setting."""
        return self.remedy or f"sudo sysctl -w {self.name}={2 * self.total}"


UNBOUNDED = Supply("what was looked at", 1 << 30, 1)
"""Of a host of which nothing is known."""


class Limits(NamedTuple):
    """Hard limits of this process; `resource.RLIM_INFINITY` is none."""

    open_files: int
    processes: int


def own_limits() -> Limits:
    """Read the hard limits: the supervisor raises its soft ones to them."""
    return Limits(
        *(resource.getrlimit(n)[1] for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    )


def supplies(
    texts: Texts, limits: Limits, identity: Identity, tree: Tree, slot_count: int
) -> tuple[Supply, ...]:
    """Name everything that bounds live sandboxes here, as far as it can be read; never empty."""
    found = (
        *_by_limits(limits, slot_count),
        *_by_identity(texts, identity),
        *_by_sysctls(texts),
        *_by_cgroups(texts, tree),
        *_by_memory(texts),
    )
    return tuple(found)


def scarcest(found: Iterable[Supply]) -> Supply:
    """Choose the one that is used up first."""
    return min(found, key=lambda supply: supply.sandbox_count)


# --- decide ---------------------------------------------------------------------------------------


def _by_limits(limits: Limits, slot_count: int) -> Iterator[Supply]:
    if limits.open_files == resource.RLIM_INFINITY:
        limits = limits._replace(open_files=1 << 20)  # no more than fs.nr_open, in any case
    remedy = "raise the hard limit of open files (LimitNOFILE=, ulimit -Hn)"
    name = "the hard limit of open files"
    spare = SPARE_DESCRIPTORS + DESCRIPTORS_PER_SANDBOX + slot_count * DESCRIPTORS_PER_JOB
    yield Supply(name, limits.open_files, DESCRIPTORS_PER_BLANK, spare=spare, remedy=remedy)
    if limits.processes != resource.RLIM_INFINITY:
        remedy = "raise the hard limit of processes (LimitNPROC=, ulimit -Hu)"
        name = "the hard limit of processes"
        yield Supply(
            name, limits.processes, PROCESSES_PER_SANDBOX, spare=SPARE_PROCESSES, remedy=remedy
        )


def _by_identity(texts: Texts, identity: Identity) -> Iterator[Supply]:
    """Give what a user has: subordinate ids, each with its own keys; or one id and its keys."""
    if identity.mode is IdMode.RANGE:
        remedy = "give the service user a larger range in /etc/subuid and /etc/subgid"
        yield Supply("subordinate ids", identity.id_count, IDS_PER_SANDBOX, remedy=remedy)
        return
    keys, key_bytes = _keys_of(texts.get("/proc/key-users", ""), identity.uid)
    for name, used, each in (("maxkeys", keys, 1), ("maxbytes", key_bytes, KEY_BYTES)):
        total = _number(texts, f"/proc/sys/kernel/keys/{name}")
        if total is not None:
            spare = each * SPARE_KEYS + total // LATE
            yield Supply(f"kernel.keys.{name}", total, each, used, spare)


def _by_sysctls(texts: Texts) -> Iterator[Supply]:
    threads = _found(r"/(\d+)", texts.get("/proc/loadavg", ""))
    files = _found(r"^(\d+)", texts.get("/proc/sys/fs/file-nr", ""))
    rows = [
        ("kernel.pid_max", PROCESSES_PER_SANDBOX, threads, SPARE_PROCESSES),
        ("kernel.threads-max", PROCESSES_PER_SANDBOX, threads, SPARE_PROCESSES),
        ("fs.file-max", FILES_PER_SANDBOX, files, SPARE_FILES),
        ("fs.epoll.max_user_watches", DESCRIPTORS_PER_SANDBOX, 0, SPARE_DESCRIPTORS),
        *((f"user.max_{kind}_namespaces", 1, 0, SPARE_NAMESPACES) for kind in NAMESPACES),
    ]
    for name, each, used, spare in rows:
        total = _number(texts, "/proc/sys/" + name.replace(".", "/"))
        if total is not None:
            late = total // LATE if name == "user.max_net_namespaces" else 0
            yield Supply(name, total, each, used, spare + late)


def _by_cgroups(texts: Texts, tree: Tree) -> Iterator[Supply]:
    """Give what the cgroups above ours allow, and how many there may be at all."""
    rows = {
        "pids.max": (PROCESSES_PER_SANDBOX, SPARE_PROCESSES, "raise it (TasksMax=)"),
        "cgroup.max.descendants": (CGROUPS_PER_SANDBOX, 1, "raise it there"),
        "memory.max": (MEMORY_PER_SANDBOX, 0, "raise it (MemoryMax=)"),
    }
    for path, text in texts.items():
        directory, name = os.path.split(path)
        if name not in rows or not text.isdecimal():
            continue  # "max" is no bound
        each, spare, remedy = rows[name]
        used = _used(name, texts.get(f"{directory}/{_CGROUP_FILES[name]}", ""))
        yield Supply(f"{name} of {directory}", int(text), each, used, spare, remedy)
    if tree.limits_by("memory"):
        used = _found(r"^memory\s+\d+\s+(\d+)", texts.get("/proc/cgroups", ""))
        remedy = "have fewer cgroups: the kernel numbers them with 16 bits"
        yield Supply(
            "memory cgroups",
            MEMORY_CGROUPS,
            CGROUPS_PER_SANDBOX,
            used,
            MEMORY_CGROUPS // LATE,
            remedy,
        )


def _by_memory(texts: Texts) -> Iterator[Supply]:
    available = _found(r"^MemAvailable:\s+(\d+) kB", texts.get("/proc/meminfo", "")) << 10
    if available:
        yield Supply("available memory", available, MEMORY_PER_SANDBOX, remedy="add memory")


def _used(name: str, text: str) -> int:
    """Read how much is in use of what a cgroup bounds."""
    return _found(r"^nr_descendants (\d+)" if name == "cgroup.max.descendants" else r"^(\d+)", text)


def _keys_of(key_users: str, uid: int) -> tuple[int, int]:
    """Read how many keys, and bytes of them, one user has: ``1000: 4 4/4 2/200 18/20000``."""
    line = rf"^\s*{uid}:\s+\d+\s+\d+/\d+\s+"
    keys = _found(rf"{line}(\d+)/", key_users)
    return keys, _found(rf"{line}\d+/\d+\s+(\d+)/", key_users)


def _found(pattern: str, text: str) -> int:
    match = re.search(pattern, text, re.MULTILINE | re.ASCII)
    return int(match[1]) if match else 0


def _number(texts: Mapping[str, str], path: str) -> int | None:
    text = texts.get(path, "")
    return int(text) if text.isdecimal() else None


# --- do -------------------------------------------------------------------------------------------


def read_texts(tree: Tree) -> Texts:
    """Read all of it: some twenty small files."""
    paths = [*_FILES]
    for place in (*tree.paths.values(), *_own_places()):
        for directory in _with_parents(place):
            for bound, usage in _CGROUP_FILES.items():
                paths += [f"{directory}/{name}" for name in (bound, usage) if name]
    return {path: text for path in dict.fromkeys(paths) if (text := _read(path)) is not None}


def _own_places() -> tuple[str, ...]:
    """Name the cgroups that bound this process, and so what it starts, beside those for jobs."""
    mounts = delegation.hierarchies(_read("/proc/self/mountinfo") or "")
    own = delegation.own_paths(_read("/proc/self/cgroup") or "")
    both = (name for name in ("pids", UNIFIED) if name in mounts and name in own)
    return tuple(mounts[name] + own[name].rstrip("/") for name in both)


def _with_parents(place: str) -> Iterator[str]:
    """Name a cgroup and those above it: each bounds all below."""
    while os.path.exists(f"{place}/cgroup.procs"):
        yield place
        place = os.path.dirname(place)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
