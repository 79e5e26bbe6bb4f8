"""User and group ids: ranges, the outer map, and the pair of host ids that each sandbox owns.

Decides map lines and hands out pairs. Does the writing of maps, by itself or through newuidmap.
Never lets host id 0 into a map.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.kernel import syscalls
from sandboxd.model.tape import Operation, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable

INIT_ID = 0
PROGRAM_ID = 1000
"""What the program is inside: an ordinary user of its own."""
IDS_PER_SANDBOX = 2
LEAST_RANGE = 64
"""A range that gives fewer sandboxes than this is not worth entering."""


class Line(NamedTuple):
    """One line of a uid_map or gid_map."""

    inside: int
    outside: int
    size: int


Map = tuple[Line, ...]


class Range(NamedTuple):
    """Subordinate ids: the first host id, and how many."""

    start: int
    size: int

    def overlaps(self, other: Range) -> bool:
        """Tell whether an id is in both."""
        return self.start < other.start + other.size and other.start < self.start + self.size


def parse_ranges(text: str, names: Iterable[str]) -> tuple[Range, ...]:
    """Read the ranges of one user, by name or number, from the text of /etc/subuid or /etc/subgid.

    Lines that do not parse are passed over, as newuidmap(1) does; ranges that hold id 0 too.
    """
    wanted = set(names)
    found = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) != 3 or fields[0] not in wanted:
            continue
        if fields[1].isdecimal() and fields[2].isdecimal():
            found.append(Range(int(fields[1]), int(fields[2])))
    return tuple(range_ for range_ in found if range_.start > 0 and range_.size > 0)


def largest(ranges: Iterable[Range], own_id: int) -> Range | None:
    """Choose the largest range that does not hold the daemon's own id, or None."""
    usable = [r for r in ranges if not r.start <= own_id < r.start + r.size]
    return max(usable, key=lambda range_: range_.size, default=None)


def outer_map(own_id: int, range_: Range | None) -> Map:
    """Map 0 to the daemon's own id and, in `range` mode, 1...N to the subordinate range."""
    own = (Line(0, own_id, 1),)
    return own if range_ is None else (*own, Line(1, range_.start, range_.size))


def sandbox_map(pair: int | None) -> Map:
    """Map one sandbox's ids, as seen from the outer namespace.

    In `range` mode: init and program get the pair's two ids. In `single` mode (no pair) the
    program's id is the daemon's own, which the outer namespace calls 0.
    """
    if pair is None:
        return (Line(PROGRAM_ID, 0, 1),)
    first = 1 + IDS_PER_SANDBOX * pair
    return (Line(INIT_ID, first, 1), Line(PROGRAM_ID, first + 1, 1))


def as_text(map_: Map) -> str:
    """Write a map as the kernel reads it."""
    return "".join(f"{line.inside} {line.outside} {line.size}\n" for line in map_)


class Pairs:
    """Hands out pairs of host ids, oldest first: no two live sandboxes ever share one.

    Oldest first because for about 0.1 s after a sandbox's end its keyrings still exist under its
    ids. `take` raises IndexError when every pair is in use.
    """

    def __init__(self, pairs: Iterable[int] = ()) -> None:
        """Begin with these pairs, by number."""
        self._free = deque(pairs)

    def __len__(self) -> int:
        """Tell how many pairs are free."""
        return len(self._free)

    def take(self) -> int:
        """Take the pair that has been free for longest."""
        return self._free.popleft()

    def add(self, pairs: Iterable[int]) -> None:
        """Add pairs that nobody has used yet."""
        self._free.extend(pairs)

    def give_back(self, pair: int) -> None:
        """Return a pair whose sandbox is gone."""
        self._free.append(pair)


def init_ids(*, keep_saved: bool) -> Operation:
    """Make init the sandbox's own root.

    With `keep_saved` (cgroup v1) the daemon's uid stays as the saved one: v1 lets the opener of a
    `tasks` file attach only a process whose real or saved uid is the opener's. It is not mapped,
    so init cannot return to it.
    """
    return Operation("init_ids", "set_ids", (INIT_ID, -1 if keep_saved else INIT_ID))


def program_ids() -> tuple[Operation, ...]:
    """Make the program the sandbox's ordinary user, with no supplementary group."""
    return (
        Operation("program_groups", "set_no_groups"),
        Operation("program_ids", "set_ids", (PROGRAM_ID, PROGRAM_ID)),
    )


def bounding_dropped() -> Operation:
    """Make sure that no exec can bring a capability back; while we may still say so."""
    return Operation("bounding_capabilities", "drop_bounding")


def capabilities_dropped() -> Operation:
    """Leave no capability in any set."""
    return Operation("capabilities", "drop_capabilities")


# --- do -------------------------------------------------------------------------------------------


def write_maps(pid: int, uid_map: str, gid_map: str) -> None:
    """Write a child's maps; the caller is root in the parent namespace (or maps only itself)."""
    for name, text in (("uid_map", uid_map), ("gid_map", gid_map)):
        syscalls.write_file(f"/proc/{pid}/{name}", text)


def write_own_map(pid: int, uid: int, gid: int) -> None:
    """Write one-id maps without any privilege; setgroups(2) must be given up first."""
    syscalls.write_file(f"/proc/{pid}/setgroups", "deny")
    write_maps(pid, f"0 {uid} 1\n", f"0 {gid} 1\n")


def set_ids(id_: int, saved_id: int) -> None:
    """Set the user id (saved: `saved_id`) and all group ids of this process.

    Groups first: afterwards the right to change them is gone.
    """
    os.setresgid(id_, id_, id_)
    os.setresuid(id_, id_, saved_id)


def set_no_groups() -> None:
    """Leave every supplementary group."""
    os.setgroups([])


def become(uid: int, gid: int) -> None:
    """Turn from root into an ordinary user, with no way back, and prove it.

    Capabilities and no_new_privs belong to a thread, so there may be only one.
    """
    if len(os.listdir("/proc/self/task")) != 1:
        raise PermissionError(1, "cannot give up root with other threads running", "setresuid")
    syscalls.drop_bounding_capabilities()
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    drop_capabilities()
    syscalls.set_no_new_privileges(1)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid) or os.getgroups():
        raise PermissionError(1, "root is left", "setresuid")


def drop_capabilities() -> None:
    """Empty all capability sets and prove it: a set that is not empty is an error."""
    syscalls.set_no_capabilities()
    if any(syscalls.get_capabilities()) or syscalls.has_bounding_capability(0):
        raise PermissionError(1, "Operation not permitted", "capabilities are left")


VERBS = {
    "set_ids": Verb(set_ids, "become user and group {0} (saved user id {1})"),
    "set_no_groups": Verb(set_no_groups, "leave every supplementary group"),
    "drop_bounding": Verb(
        syscalls.drop_bounding_capabilities,
        "drop every capability from the bounding and ambient sets",
    ),
    "drop_capabilities": Verb(drop_capabilities, "empty all capability sets and verify"),
}
