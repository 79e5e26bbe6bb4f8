"""What must be changed on a host so that sandboxd runs there for good: looked at, then decided.

`look` reads, `changes_for` is pure: the same facts and wishes give the same list of changes, and on
a host that has everything an empty one.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.kernel import delegation
from sandboxd.kernel.cgroups import UNIFIED
from sandboxd.setup import accounts
from sandboxd.setup.changes import (
    AddLine,
    MakeDirectory,
    MakeLink,
    Run,
    WriteFile,
    at,
    read_record,
    read_text,
)
from sandboxd.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandboxd.kernel.idmap import Range
    from sandboxd.setup.accounts import User
    from sandboxd.setup.changes import Change, Step

EXAMPLE_INTERPRETER = "/opt/sandboxd/bin/python"
"""What stands in the shipped units for the interpreter that runs sandboxd."""
UNITS = ("sandboxd.service", "sandboxd.socket")
PROFILE = "/etc/apparmor.d/sandboxd"
TMPFILES = "/etc/tmpfiles.d/sandboxd.conf"
LINGER = "/var/lib/systemd/linger"
WANTS = {
    "system": {"sandboxd.service": "multi-user.target", "sandboxd.socket": "sockets.target"},
    "user": {"sandboxd.service": "default.target", "sandboxd.socket": "sockets.target"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the administrator asks for."""

    user: str = "sandboxd"
    mode: str = "system"
    """`system`: a system unit for a service user. `user`: a unit of a login user's own manager."""
    range: Range | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a host is like, as far as setup must know."""

    texts: Mapping[str, str | None]
    """Content of the files of accounts, and of those that setup writes; None: not there."""
    links: Mapping[str, str]
    """Where the links that setup makes lead, those that are there."""
    directories: frozenset[str]
    """Those that exist, of the ones that setup writes into."""
    has_systemd: bool
    """It is installed."""
    is_running: bool
    """This is the system that runs, under systemd: changes can take effect at once."""
    lingers: bool
    v1_trees: tuple[str, ...]
    """Where cgroup v1 hierarchies are mounted whose controllers we use."""
    restricts_namespaces: bool
    """AppArmor lets only programs with a profile use user namespaces."""
    interpreter: str
    real_interpreter: str
    closed_directory: str | None
    """The first directory above the interpreter that the service user cannot enter."""
    units: Mapping[str, str]
    """The shipped units of the wished mode, by name."""


def changes_for(wish: Wish, facts: Facts, record: Iterable[Step]) -> list[Change]:
    """Decide what is to be done, in order; what is there already is left out.

    Raises:
        HostError: what is wished cannot be had here; the text says what to do.

    """
    steps = list(record)
    user, lines = _accounts(wish, facts, steps)
    _check_interpreter(wish, facts)
    groups: list[list[Change]] = [lines]
    if facts.restricts_namespaces:
        groups.append(_profile(facts))
    if facts.has_systemd:
        if facts.v1_trees:
            groups.append(_v1_trees(user, facts))
        groups.append(_units(wish, user, facts))
    done = {step.change for step in steps if step.done}
    planned: list[Change] = []
    for group in groups:
        needed = [change for change in group if not _is_there(change, facts, steps)]
        changed = any(not isinstance(change, Run) for change in needed)
        planned += _with_parents(
            [c for c in needed if not isinstance(c, Run) or changed or c not in done], facts
        )
    return list(dict.fromkeys(planned))


def _accounts(wish: Wish, facts: Facts, steps: list[Step]) -> tuple[User, list[Change]]:
    user = accounts.find_user(wish.user, facts.texts[accounts.PASSWD] or "")
    if user is not None and user.uid == 0:
        raise HostError("SETUP_USER", "cannot let root serve", "name an ordinary user with --user")
    ours = {(s.change.path, s.change.text) for s in steps if isinstance(s.change, AddLine)}
    lines: list[accounts.Line] = []
    if user is None and wish.mode == "user":
        remedy = f"make it first (adduser {wish.user}), or use --mode system"
        raise HostError("SETUP_USER", f"cannot prepare {wish.user}: no such user", remedy)
    if user is None:
        user = accounts.new_user(wish.user, facts.texts)
        lines += accounts.user_lines(user, facts.texts)
    elif any(path == accounts.PASSWD and text.startswith(f"{user.name}:") for path, text in ours):
        lines += accounts.user_lines(user, facts.texts)  # what a run that was cut short left out
    lines += accounts.new_ranges(user, facts.texts, wish.range)
    return user, [AddLine(line.path, line.text) for line in lines]


def _check_interpreter(wish: Wish, facts: Facts) -> None:
    if facts.closed_directory is not None:
        raise HostError(
            "SETUP_INTERPRETER",
            f"cannot let {wish.user} run {facts.interpreter}: {facts.closed_directory} is closed "
            "to others",
            "install sandboxd where every user may read, for example in /opt/sandboxd",
        )
    own = facts.real_interpreter.startswith(str(Path(facts.interpreter).parent) + "/")
    if facts.restricts_namespaces and not own:
        raise HostError(
            "SETUP_INTERPRETER",
            "cannot give sandboxd an AppArmor profile: its interpreter "
            f"{facts.real_interpreter} is everybody's",
            "install sandboxd in an environment made by: python3 -m venv --copies /opt/sandboxd",
        )


def _profile(facts: Facts) -> list[Change]:
    content = (
        "# Lets sandboxd's own interpreter make user namespaces. Written by sandboxd setup.\n"
        "abi <abi/4.0>,\n"
        "include <tunables/global>\n"
        f'profile sandboxd "{facts.real_interpreter}" flags=(unconfined) {{\n'
        "  userns,\n"
        "}\n"
    )
    unload = ("apparmor_parser", "--remove", PROFILE)
    return [
        WriteFile(PROFILE, content),
        Run(("apparmor_parser", "--replace", PROFILE), (unload,)),
    ]


def _v1_trees(user: User, facts: Facts) -> list[Change]:
    """Have each v1 hierarchy prepared at every boot, as `delegation.prepare` would as root."""
    lines = ["# cgroup v1 trees for sandboxd, made at each boot. Written by sandboxd setup."]
    places = []
    for tree in facts.v1_trees:
        home = f"{tree}/{delegation.HOME}"
        place = f"{home}/{user.uid}"
        places += [place, home]
        lines += [
            f"d {home} 0755 root root",
            f"d {place} 0755 {user.uid} {user.gid}",
            f"z {place}/cgroup.procs - {user.uid} {user.gid}",
            f"z {place}/tasks - {user.uid} {user.gid}",
        ]
    remove = tuple(("rmdir", "--ignore-fail-on-non-empty", place) for place in places)
    changes: list[Change] = [WriteFile(TMPFILES, "\n".join(lines) + "\n")]
    if facts.is_running:
        changes.append(Run(("systemd-tmpfiles", "--create", TMPFILES), remove))
    return changes


def _units(wish: Wish, user: User, facts: Facts) -> list[Change]:
    base = f"/etc/systemd/{wish.mode}"
    changes: list[Change] = [
        WriteFile(f"{base}/{name}", _unit(facts.units[name], wish, facts.interpreter))
        for name in UNITS
    ]
    changes += [
        MakeLink(f"{base}/{target}.wants/{name}", f"{base}/{name}")
        for name, target in WANTS[wish.mode].items()
    ]
    if not facts.is_running:
        return changes
    control: tuple[str, ...] = ("systemctl",)
    before: list[Change] = []
    if wish.mode == "user":
        control = ("systemctl", "--user", f"--machine={user.name}@")
        if not facts.lingers:
            unlinger = ("loginctl", "disable-linger", user.name)
            before = [Run(("loginctl", "enable-linger", user.name), (unlinger,))]
        before.append(Run(("systemctl", "start", f"user@{user.uid}.service")))
    reload_ = (*control, "daemon-reload")
    return [
        *before,
        Run((), (reload_,)),  # undone after the units are removed
        *changes,
        Run(reload_),
        Run((*control, "start", "sandboxd.socket"), ((*control, "stop", *reversed(UNITS)),)),
        Run((*control, "restart", "sandboxd.service")),
    ]


def _unit(text: str, wish: Wish, interpreter: str) -> str:
    """Put the interpreter and the user into a shipped unit."""
    text = text.replace(EXAMPLE_INTERPRETER, interpreter)
    if wish.mode == "system":
        return re.sub(r"(?m)^((?:Socket)?User)=sandboxd$", rf"\1={wish.user}", text)
    # /etc/systemd/user is every user's.
    return text.replace("[Unit]\n", f"[Unit]\nConditionUser={wish.user}\n", 1)


def _is_there(change: Change, facts: Facts, steps: list[Step]) -> bool:
    """Tell whether a host is already as a change would make it.

    Raises:
        HostError: something is in the way that is not ours.

    """
    match change:
        case WriteFile():
            present = facts.texts.get(change.path)
            ours = [s.change.content for s in steps if _is_about(s, change.path)]  # type: ignore[union-attr]
            if present not in {None, change.content, *ours}:
                remedy = "move it away, or take its changes over by hand"
                text = f"cannot write {change.path}: it is there, and not as setup wrote it"
                raise HostError("SETUP_FILE", text, remedy)
            return present == change.content
        case MakeLink():
            return facts.links.get(change.path) == change.target
        case _:
            return False


def _is_about(step: Step, path: str) -> bool:
    return isinstance(step.change, WriteFile) and step.change.path == path


def _with_parents(changes: list[Change], facts: Facts) -> list[Change]:
    """Put what makes the missing directories before the changes that need them."""
    planned: list[Change] = []
    for change in changes:
        if isinstance(change, (WriteFile, MakeLink)):
            above = [str(place) for place in reversed(Path(change.path).parents)]
            planned += [MakeDirectory(p) for p in above if p not in facts.directories]
        planned.append(change)
    return planned


# --- do -------------------------------------------------------------------------------------------


def look(root: Path, wish: Wish) -> Facts:
    """Read what a host is like; `root` is `/`, or another system's tree."""
    is_host = root == Path("/")
    base = f"/etc/systemd/{wish.mode}"
    links = [f"{base}/{target}.wants/{name}" for name, target in WANTS[wish.mode].items()]
    files = [PROFILE, TMPFILES, *(f"{base}/{name}" for name in UNITS)]
    parents = {str(place) for path in (*links, *files) for place in Path(path).parents}
    texts = {path: read_text(at(root, path)) for path in (*accounts.FILES, *files)}
    user = accounts.find_user(wish.user, texts[accounts.PASSWD] or "")
    return Facts(
        texts=texts,
        links={p: os.readlink(at(root, p)) for p in links if at(root, p).is_symlink()},
        directories=frozenset(path for path in parents if at(root, path).is_dir()),
        has_systemd=at(root, "/etc/systemd").is_dir(),
        is_running=is_host and Path("/run/systemd/system").is_dir(),
        lingers=at(root, f"{LINGER}/{wish.user}").exists(),
        v1_trees=_v1_mounts() if is_host else (),
        restricts_namespaces=is_host
        and read_text(Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")) == "1\n",
        interpreter=sys.executable,
        real_interpreter=str(Path(sys.executable).resolve()),
        closed_directory=_closed_directory(user.uid if user else None) if is_host else None,
        units={name: (units_directory() / wish.mode / name).read_text("utf-8") for name in UNITS},
    )


def prepared(root: Path, wish: Wish) -> list[Change]:
    """Give what is to be done on this host now."""
    return changes_for(wish, look(root, wish), read_record(root))


def units_directory() -> Path:
    """Give the directory of the shipped units."""
    return shipped("setup/systemd", in_checkout="deploy/systemd")


def _v1_mounts() -> tuple[str, ...]:
    found = delegation.hierarchies(Path("/proc/self/mountinfo").read_text("utf-8"))
    return tuple(sorted({place for name, place in found.items() if name != UNIFIED}))


def _closed_directory(uid: int | None) -> str | None:
    """Find the first directory above interpreter and package that this user cannot enter."""
    for path in (sys.executable, os.path.realpath(sys.executable), __file__):
        for place in reversed(Path(path).parents):
            entry = place.stat()
            if not entry.st_mode & (0o100 if entry.st_uid == uid else 0o001):
                return str(place)
    return None
