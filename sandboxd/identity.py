"""Who the daemon is, and whose host ids its sandboxes run under.

Decides by looking at the user and at /etc/subuid and /etc/subgid. Changes nothing.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.kernel import idmap
from sandboxd.kernel.idmap import Line, Range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandboxd.kernel.idmap import Map

DEFAULT_SERVICE_ID = 59990
"""User and group id to drop to when the service user does not exist: nobody's on Debian."""
DEFAULT_RANGES = (Range(1_878_982_656, 65536), Range(2048, 57000))
"""What root takes when /etc/subuid gives the service user no range: the first that is mapped here.
The last 64 Ki of those that systemd sets aside for user namespaces, far above every ordinary user;
and, for root of a user namespace that has 64 Ki ids in all, what lies below the service user."""


FIRST_SUBORDINATE_ID = 100_000
"""Where free ranges are looked for, unless login.defs(5) says otherwise by SUB_UID_MIN."""
RANGE_SIZE = 65536


class IdMode(Enum):
    """Whose ids a job runs under."""

    RANGE = "range"
    """Two host ids of its own, from a subordinate range."""
    SINGLE = "single"
    """The daemon's own id, without any capability: weaker."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the daemon is (or becomes), and the maps of its outer user namespace."""

    uid: int
    gid: int
    mode: IdMode
    uid_map: Map
    gid_map: Map
    started_as_root: bool

    @property
    def id_count(self) -> int:
        """How many ids the range gives to sandboxes."""
        if self.mode is IdMode.SINGLE:
            return 0
        return min(self.uid_map[1].size, self.gid_map[1].size)


def identify(service_user: str, forced: IdMode | None) -> Identity:
    """Find out who serves and from which ranges sandboxes get their ids.

    Raises:
        HostError: the forced mode is not to be had, or `single` would hand groups on.

    """
    as_root = os.geteuid() == 0
    uid, gid, name = _service_user(service_user) if as_root else _own_user()
    uid_range = idmap.largest(_ranges("/etc/subuid", name, uid), uid)
    gid_range = idmap.largest(_ranges("/etc/subgid", name, uid), gid)
    if as_root and not (uid_range and gid_range):
        with open("/proc/self/uid_map", encoding="ascii") as file:
            uid_range = gid_range = default_range(file.read())
    mode = _choose_mode(forced, uid_range, gid_range)
    if mode is IdMode.SINGLE:
        _refuse_groups(gid, as_root=as_root)
        uid_range = gid_range = None
    uid_map = idmap.outer_map(uid, uid_range)
    return Identity(uid, gid, mode, uid_map, idmap.outer_map(gid, gid_range), as_root)


def default_range(uid_map: str) -> Range | None:
    """Choose the first default range that a map, as in /proc/self/uid_map, has as a whole."""
    map_ = parse_map(uid_map)
    return next((range_ for range_ in DEFAULT_RANGES if is_mapped(range_, map_)), None)


def parse_map(text: str) -> Map:
    """Read a uid_map or gid_map as the kernel shows it."""
    lines = (line.split() for line in text.splitlines())
    return tuple(Line(*map(int, fields)) for fields in lines if len(fields) == 3)


def is_mapped(range_: Range, map_: Map) -> bool:
    """Tell whether all these ids have a meaning: the kernel wants them in one line of the map."""
    end = range_.start + range_.size
    return any(line.inside <= range_.start and end <= line.inside + line.size for line in map_)


def free_range(taken: Iterable[Range], low: int = FIRST_SUBORDINATE_ID) -> Range:
    """Find the lowest range from `low` on in which no id belongs to anybody."""
    range_ = Range(low, RANGE_SIZE)
    for other in sorted(taken):
        if range_.overlaps(other):
            range_ = Range(other.start + other.size, RANGE_SIZE)
    return range_


def _service_user(name: str) -> tuple[int, int, str]:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return DEFAULT_SERVICE_ID, DEFAULT_SERVICE_ID, name
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        remedy = "name an ordinary user as service_user"
        raise HostError("SERVICE_USER_IS_ROOT", f"cannot serve as {name}, who is root", remedy)
    return entry.pw_uid, entry.pw_gid, name


def _own_user() -> tuple[int, int, str]:
    uid = os.getuid()
    try:
        return uid, os.getgid(), pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid, os.getgid(), str(uid)


def _ranges(path: str, name: str, uid: int) -> tuple[Range, ...]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return idmap.parse_ranges(file.read(), (name, str(uid)))
    except FileNotFoundError:
        return ()


def _choose_mode(forced: IdMode | None, uid_range: Range | None, gid_range: Range | None) -> IdMode:
    enough = all(range_ and range_.size >= idmap.LEAST_RANGE for range_ in (uid_range, gid_range))
    if forced is IdMode.RANGE and not enough:
        raise HostError(
            "NO_SUBORDINATE_IDS",
            "cannot give jobs ids of their own: /etc/subuid and /etc/subgid have no range for "
            "this user",
            "run: usermod --add-subuids 200000-265535 --add-subgids 200000-265535 USER",
        )
    if forced is not None:
        return forced
    return IdMode.RANGE if enough else IdMode.SINGLE


def _refuse_groups(gid: int, *, as_root: bool) -> None:
    """In `single` mode setgroups(2) is not to be had, so a job would keep the daemon's groups."""
    groups = set(os.getgroups()) - {gid}
    if groups and not as_root:
        raise HostError(
            "SUPPLEMENTARY_GROUPS",
            f"cannot use single ids: jobs would keep this user's {len(groups)} supplementary "
            "groups and what they may read",
            "give the user subordinate ids (usermod --add-subuids, --add-subgids), or start "
            "without groups",
        )
