"""What an attack must not change on the host: looked at before it and after it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from house import House

BAIT_KEYS = 0x5A4D0000
SYSCTL_PLACES = ("/proc/sys/kernel", "/proc/sys/user", "/proc/sys/fs", "/proc/sys/vm")
COUNTERS = (
    *("random/", "ns_last_pid", "pty/nr", "dentry-state", "file-nr", "inode-nr", "inode-state"),
    *("aio-nr", "quota/", "perf_", "tainted", "stat_", "percpu_pagelist", "lowmem_reserve"),
)
"""Values that change by themselves."""
PLACES = (tempfile.gettempdir(), "/dev/shm", "/var/tmp")
OURS = ("tmp", "pytest-", "sandboxd", "hypothesis", "bait-", "cc")
"""How what the tests themselves make there is called."""


def state_of(house: House) -> dict[str, object]:
    """Give everything that must be the same again, by name."""
    return {
        **({} if house.host.pool_size else _sandboxes(house)),
        "mounts": _text("/proc/self/mountinfo"),
        "network interfaces": sorted(os.listdir("/sys/class/net")),
        "SysV objects": sorted(_sysv_objects(house.host_ids())),
        "files": sorted(_files(house)),
    }


def sysctls() -> dict[str, object]:
    """Give every setting of the kernel's that does not change by itself."""
    return {"sysctls": {path: _text(path) for path in _sysctls()}}


def difference(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Say what is not as it was."""
    return [
        f"{name}: {_shown(before[name], after[name])}"
        for name in before
        if before[name] != after[name]
    ]


def _shown(before: object, after: object) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        changed = {key for key in before | after if before.get(key) != after.get(key)}
        return str({key: (before.get(key), after.get(key)) for key in sorted(changed)})
    return f"{before!r} before, {after!r} after"


def _sandboxes(house: House) -> dict[str, object]:
    """Give what sandboxes take; those that are made ahead come and go."""
    house.settle()
    return {
        "processes below the launcher": sorted(_below(house.launcher())),
        "descriptors of the daemon": len(os.listdir("/proc/self/fd")),
        "cgroups": sorted(house.cgroups()),
    }


def _below(pid: int) -> Iterator[int]:
    for child in _text(f"/proc/{pid}/task/{pid}/children").split():
        yield int(child)
        yield from _below(int(child))


def _sysv_objects(owners: range) -> Iterator[str]:
    """Name the objects of the host that are owned as a job's would be, but for our bait."""
    for kind in ("shm", "sem", "msg"):
        names, *rows = (line.split() for line in _text(f"/proc/sysvipc/{kind}").splitlines())
        for row in rows:
            key, owner = int(row[0]), int(row[names.index("uid")])
            if owner in owners and key & ~0xFFFF != BAIT_KEYS:
                yield f"{kind} {key}"


def _files(house: House) -> Iterator[str]:
    """Name what jobs' owners have in places that everybody may write to."""
    ids = house.host_ids()
    for place in PLACES:
        for entry in os.scandir(place):
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_uid in ids and not entry.name.startswith(
                    OURS
                ):
                    yield entry.path


def _sysctls() -> Iterator[str]:
    for place in SYSCTL_PLACES:
        for directory, _, names in os.walk(place):
            for path in (f"{directory}/{name}" for name in names):
                if not any(counter in path for counter in COUNTERS):
                    yield path


def _text(path: str) -> str:
    with suppress(OSError):  # some can only be written
        return Path(path).read_text(errors="replace")
    return ""
