"""Delegated cgroup trees: finding them, making them as root, owning one, leaving none behind.

Decides where this user's trees lie. Does the preparing and clearing. Touches only directories that
an administrator gave to this user, or that root makes for it below a directory of its own name.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sandboxd.kernel import syscalls
from sandboxd.kernel.cgroups import UNIFIED, V1_CONTROLLERS, Rung, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HOME = "sandboxd"
"""Our directory in each hierarchy; below it one per user id."""
V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
_INSTANCE = re.compile(r"daemon-[0-9a-f]{8}")


def hierarchies(mountinfo: str) -> dict[str, str]:
    """Find where each hierarchy is mounted: by controller for v1, under `UNIFIED` for v2."""
    found: dict[str, str] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        mount_point = before.split(" ")[4]
        if kind == "cgroup2":
            found.setdefault(UNIFIED, mount_point)
        elif kind == "cgroup":
            for controller in set(options.split(",")) & set(V1_CONTROLLERS):
                found.setdefault(controller, mount_point)
    return found


def own_paths(text: str) -> dict[str, str]:
    """Read /proc/self/cgroup: this process's path in each hierarchy."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            found[name] = path
    return found


def candidates(uid: int, own: dict[str, str], hierarchy: str) -> tuple[str, ...]:
    """Name the places, below a hierarchy's mount, that may have been delegated to a user.

    The prepared one first; then, in v2, our own cgroup, which a manager may have given us.
    """
    prepared = f"/{HOME}/{uid}"
    if hierarchy != UNIFIED:
        return (prepared,)
    here = own.get(UNIFIED, "/")
    return (prepared, here.removesuffix("/supervisor")) if here != "/" else (prepared,)


def choose(rung: Rung | None, found: dict[str, str], controllers: frozenset[str]) -> Tree:
    """Choose the highest rung that the found trees allow, or the one that is forced."""
    unified = {UNIFIED: found[UNIFIED]} if UNIFIED in found else {}
    v1 = {name: found[name] for name in V1_CONTROLLERS if name in found}
    if rung in {None, Rung.V2} and unified and controllers:
        return Tree(Rung.V2, unified, controllers)
    if rung in {None, Rung.V1} and "memory" in v1:
        return Tree(Rung.V1, unified | v1)
    if rung in {None, Rung.V2_BARE} and unified:
        return Tree(Rung.V2_BARE, unified)
    return Tree(Rung.NONE, {})


# --- do -------------------------------------------------------------------------------------------


def find(uid: int, rung: Rung | None) -> Tree:
    """Look for trees that this process may use; makes nothing."""
    mounts = hierarchies(_read("/proc/self/mountinfo"))
    own = own_paths(_read("/proc/self/cgroup"))
    found: dict[str, str] = {}
    for hierarchy, mount_point in mounts.items():
        for path in candidates(uid, own, hierarchy):
            place = mount_point + path
            if _is_usable(place, uid) and (hierarchy != UNIFIED or _lies_in(own[UNIFIED], path)):
                found[hierarchy] = place
                break
    controllers: frozenset[str] = frozenset()
    if UNIFIED in found:
        available = _read(f"{found[UNIFIED]}/cgroup.controllers").split()
        controllers = frozenset(available) & frozenset(V2_CONTROLLERS)
    return choose(rung, found, controllers)


def _is_usable(place: str, uid: int) -> bool:
    try:
        return os.stat(place).st_uid == uid
    except OSError:
        return False


def _lies_in(path: str, place: str) -> bool:
    """Tell whether a cgroup is a place or below it: only from there may we clone into it."""
    return path == place or path.startswith(place + "/")


def prepare(uid: int, gid: int) -> None:
    """As root: make this user's place in each hierarchy and give it away, as systemd would.

    Only the directory and the files that steer processes are given, never those that limit it. In
    v2 this process moves in, as the kernel lets nobody clone into it from outside.
    """
    for hierarchy, mount_point in hierarchies(_read("/proc/self/mountinfo")).items():
        with suppress(OSError):  # a hierarchy that even root may not use lowers the rung, no more
            _give(f"{mount_point}/{HOME}/{uid}", hierarchy, uid, gid)


def _give(place: str, hierarchy: str, uid: int, gid: int) -> None:
    os.makedirs(place, exist_ok=True)
    v2 = hierarchy == UNIFIED
    if v2:
        home = os.path.dirname(place)
        _hand_down(os.path.dirname(home))
        _hand_down(home)
    for name in ("cgroup.procs", *(("cgroup.threads", "cgroup.subtree_control") if v2 else ())):
        os.chown(f"{place}/{name}", uid, gid)
    if v2:
        _own_directory(f"{place}/supervisor", uid, gid)
        syscalls.write_file(f"{place}/supervisor/cgroup.procs", "0")
    else:
        os.chown(f"{place}/tasks", uid, gid)
    os.chown(place, uid, gid)


def take_along(tree: Tree, pid: int) -> None:
    """As root: bring a child of ours to where `prepare` has moved us, below a claimed tree."""
    if UNIFIED in tree.paths:
        supervisor = f"{os.path.dirname(tree.paths[UNIFIED])}/supervisor"
        syscalls.write_file(f"{supervisor}/cgroup.procs", str(pid))


def _hand_down(path: str) -> None:
    """Let the cgroups below limit what this one may: a controller is handed down step by step."""
    available = frozenset(_read(f"{path}/cgroup.controllers").split())
    with suppress(OSError):  # one with processes of its own cannot: then the rung says so
        _enable(path, available & frozenset(V2_CONTROLLERS))


def _own_directory(path: str, uid: int, gid: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(path)
    os.chown(path, uid, gid)
    for name in ("cgroup.procs", "cgroup.kill"):
        with suppress(FileNotFoundError):  # v1 has nothing to kill by
            os.chown(f"{path}/{name}", uid, gid)


def claim(tree: Tree, uid: int, gid: int) -> tuple[Tree, list[int]]:
    """Make this daemon's own directory in each hierarchy, below the delegated ones.

    Gives the tree to use, and descriptors that hold a lock on it: as long as the daemon or its
    launcher lives, `sweep` of another daemon leaves it alone.
    """
    if not tree.paths:
        return tree, []
    # One daemon at a time: a directory that is made but not yet locked looks like a dead one's.
    with _locked(next(iter(tree.paths.values()))):
        sweep(tree)
        if tree.rung is Rung.V2:
            _enter_supervisor(tree.paths[UNIFIED], tree.controllers)
        name = f"daemon-{os.urandom(4).hex()}"
        paths = {hierarchy: f"{path}/{name}" for hierarchy, path in tree.paths.items()}
        locks: list[int] = []
        try:
            for path in paths.values():
                _own_directory(path, uid, gid)
                lock_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                locks.append(lock_fd)
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            for lock_fd in locks:
                os.close(lock_fd)
            for path in paths.values():
                with suppress(OSError):  # the later ones are not there yet
                    os.rmdir(path)
            raise
    if tree.rung is Rung.V2:
        _enable(paths[UNIFIED], tree.controllers)
    return tree._replace(paths=paths), locks


@contextmanager
def _locked(path: str) -> Iterator[None]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def sweep(tree: Tree) -> None:
    """Remove what daemons left behind that are dead together with their launchers."""
    for hierarchy, path in tree.paths.items():
        for name in os.listdir(path):
            if not _INSTANCE.fullmatch(name):
                continue
            try:
                fd = os.open(f"{path}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:  # its launcher has just removed it
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                clear({hierarchy: f"{path}/{name}"})
            finally:
                os.close(fd)


def clear(paths: dict[str, str], patience: float = 2.0) -> None:
    """Kill what is left below these directories and remove them; gives up after `patience` s."""
    if UNIFIED in paths:
        with suppress(OSError):
            syscalls.write_file(f"{paths[UNIFIED]}/cgroup.kill", "1")
    deadline = time.monotonic() + patience
    while not all(_remove_tree(path) for path in paths.values()):
        if time.monotonic() > deadline:
            return
        time.sleep(0.002)  # the kernel lets go of a cgroup shortly after its last process


def _remove_tree(path: str) -> bool:
    """Remove a cgroup and those below it; tell whether all are gone."""
    try:
        with os.scandir(path) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        gone = sum(_remove_tree(place) for place in below) == len(below)
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return gone


def _enter_supervisor(path: str, controllers: Iterable[str]) -> None:
    """Leave the delegated cgroup itself for a leaf, then let it limit its children.

    A cgroup with processes of its own cannot hand controllers down (EBUSY).
    """
    leaf = f"{path}/supervisor"
    with suppress(FileExistsError):
        os.mkdir(leaf)
    own = own_paths(_read("/proc/self/cgroup")).get(UNIFIED, "")
    if path.endswith(own):
        for pid in _read(f"{path}/cgroup.procs").split():
            syscalls.write_file(f"{leaf}/cgroup.procs", pid)
    _enable(path, controllers)


def _enable(path: str, controllers: Iterable[str]) -> None:
    enabled = " ".join(f"+{name}" for name in sorted(controllers))
    syscalls.write_file(f"{path}/cgroup.subtree_control", enabled)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
