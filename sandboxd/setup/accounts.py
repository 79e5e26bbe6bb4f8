"""Users and id ranges as lines of /etc: which lines a service user needs that are not there yet.

Decides only. Other users' lines are read, so that nothing overlaps them, and never touched.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.errors import HostError
from sandboxd.identity import FIRST_SUBORDINATE_ID, free_range
from sandboxd.kernel import idmap
from sandboxd.kernel.idmap import Range

if TYPE_CHECKING:
    from collections.abc import Mapping

    Texts = Mapping[str, str | None]
    """The content of each of `FILES`, None where there is no such file."""

PASSWD, GROUP, SHADOW, GSHADOW = "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"
SUBUID, SUBGID = "/etc/subuid", "/etc/subgid"
LOGIN_DEFS = "/etc/login.defs"
FILES = (PASSWD, GROUP, SHADOW, GSHADOW, SUBUID, SUBGID, LOGIN_DEFS)
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")


class User(NamedTuple):
    """A user as /etc/passwd has it."""

    name: str
    uid: int
    gid: int
    home: str


class Line(NamedTuple):
    """A line that a file of /etc lacks."""

    path: str
    text: str


def find_user(name: str, passwd: str) -> User | None:
    """Find a user by name."""
    for fields in _records(passwd, 7):
        if fields[0] == name:
            return User(name, int(fields[2]), int(fields[3]), fields[5])
    return None


def new_user(name: str, texts: Texts) -> User:
    """Make up a system user who cannot log in, with a group of the same name and number.

    Raises:
        HostError: the name is none, its group is there already, or no system id is free.

    """
    if not NAME.fullmatch(name):
        raise HostError("SETUP_USER", f"cannot make a user {name!r}", "use a-z, 0-9, _ and -")
    users, groups = _records(texts[PASSWD] or "", 7), _records(texts[GROUP] or "", 4)
    if any(fields[0] == name for fields in groups):
        remedy = f"make the user yourself: useradd --system --gid {name} {name}"
        text = f"cannot make the user {name}: a group of that name is there"
        raise HostError("SETUP_USER", text, remedy)
    taken = {int(fields[2]) for fields in [*users, *groups]}
    low, high = _setting(texts, "SYS_UID_MIN", 101), _setting(texts, "SYS_UID_MAX", 999)
    number = next((n for n in range(high, low - 1, -1) if n not in taken), None)
    if number is None:
        remedy = f"make the user {name} yourself"
        raise HostError("SETUP_USER", f"cannot make the user {name}: no system id is free", remedy)
    return User(name, number, number, "/nonexistent")


def user_lines(user: User, texts: Texts) -> list[Line]:
    """Write what a user of ours has in each file; those that are there already are left out."""
    name, number = user.name, user.uid
    lines = (
        Line(PASSWD, f"{name}:x:{number}:{user.gid}:sandboxd:{user.home}:/usr/sbin/nologin"),
        Line(GROUP, f"{name}:x:{user.gid}:"),
        Line(SHADOW, f"{name}:!:::::::"),
        Line(GSHADOW, f"{name}:!::"),
    )
    return [
        line
        for line in lines
        if (text := texts[line.path]) is not None and line.text not in text.splitlines()
    ]


def new_ranges(user: User, texts: Texts, wished: Range | None) -> list[Line]:
    """Give the user a range in each file where it has none that is large enough.

    Raises:
        HostError: the wished range belongs to somebody else.

    """
    own = {user.name, str(user.uid)}
    lacking = [
        path
        for path, number in ((SUBUID, user.uid), (SUBGID, user.gid))
        if not any(
            r.size >= idmap.LEAST_RANGE and not r.overlaps(Range(number, 1))
            for r in idmap.parse_ranges(texts[path] or "", own)
        )
    ]
    if not lacking:
        return []
    taken = [*_all_ranges(texts), Range(user.uid, 1), Range(user.gid, 1)]
    range_ = wished or free_range(taken, _setting(texts, "SUB_UID_MIN", FIRST_SUBORDINATE_ID))
    for other in taken:
        if range_.overlaps(other):
            raise HostError(
                "SETUP_RANGE",
                f"cannot give {user.name} the ids {range_.start}:{range_.size}: "
                f"{other.start}:{other.size} belong to somebody else",
                "leave --range unset for one that is free",
            )
    return [Line(path, f"{user.name}:{range_.start}:{range_.size}") for path in lacking]


def _all_ranges(texts: Texts) -> list[Range]:
    """List every id that belongs to somebody: users, groups, subordinate ranges."""
    found: list[Range] = []
    for path in (SUBUID, SUBGID):
        names = {fields[0] for fields in _records(texts[path] or "", 3)}
        found += idmap.parse_ranges(texts[path] or "", names)
    for path, count in ((PASSWD, 7), (GROUP, 4)):
        found += [Range(int(fields[2]), 1) for fields in _records(texts[path] or "", count)]
    return found


def _setting(texts: Texts, name: str, default: int) -> int:
    found = re.search(rf"^\s*{name}\s+(\d+)", texts[LOGIN_DEFS] or "", re.MULTILINE)
    return int(found[1]) if found else default


def _records(text: str, count: int) -> list[list[str]]:
    """Split the lines that have this many fields, and a number where an id must be."""
    records = [line.split(":") for line in text.splitlines()]
    number = 1 if count == 3 else 2
    return [r for r in records if len(r) == count and r[number].isdecimal()]
