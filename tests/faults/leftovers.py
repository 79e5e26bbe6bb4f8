"""What a supervisor holds on its host, to be compared before and after a fault; and its helpers."""

from __future__ import annotations

import os
import select
import signal
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from house import PATIENCE, descendants, eventually, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from house import House


LOOKS = 5


class Holdings(NamedTuple):
    """Everything that a fault could leave behind."""

    descriptors: Counter[str]
    """Of this process, which is the daemon: by kind."""
    processes: tuple[str, ...]
    """The names of all that live below it."""
    helper_descriptors: tuple[int, ...]
    mounts: tuple[int, ...]
    """How many each of them sees."""
    cgroups: frozenset[str]
    dead_daemons: frozenset[str]
    free_ids: int
    live: int
    load: int
    """How many jobs count as running on the processors."""
    temporary_files: frozenset[str]


def holdings(house: House) -> Holdings:
    house.settle()
    supervisor = house.supervisor
    ids = supervisor._ids  # noqa: SLF001 - nobody else may know how many are free
    helpers = sorted(descendants(os.getpid()), key=name_of)
    return Holdings(
        Counter(kind_of(fd) for fd in os.listdir("/proc/self/fd")),
        tuple(name_of(pid) for pid in helpers),
        tuple(count_of(f"/proc/{pid}/fd") for pid in helpers),
        tuple(lines_of(f"/proc/{pid}/mountinfo") for pid in (os.getpid(), *helpers)),
        frozenset(house.cgroups()),
        frozenset(dead_daemons(house.host.tree.paths.values())),
        len(ids._pairs) if ids is not None else 0,  # noqa: SLF001 - the same
        supervisor._live,  # noqa: SLF001 - the same
        sum(supervisor._processors._users.values()),  # noqa: SLF001 - the same
        frozenset(
            name for name in os.listdir(tempfile.gettempdir()) if name.startswith("sandboxd")
        ),
    )


def at_rest(house: House) -> Holdings:
    """Give what is held once some looks in a row agree: a zygote closes behind its answer."""
    looks = [holdings(house)]

    def is_still() -> bool:
        looks.append(holdings(house))
        return looks[-LOOKS:] == [looks[-1]] * LOOKS

    eventually(is_still, 20, lambda: changes(looks[-2], looks[-1]))
    return looks[-1]


def settled(house: House, before: Holdings) -> None:
    """Wait until nothing is held but what was before; fail with what is."""
    eventually(
        lambda: not changes(before, holdings(house)), 20, lambda: changes(before, holdings(house))
    )


def changes(before: Holdings, after: Holdings) -> list[tuple[str, object, object]]:
    after = after._replace(
        # gRPC closes an earlier test's sockets when it likes.
        descriptors=after.descriptors | before.descriptors,
        # Any daemon's start removes what dead ones left, also what another lane's did.
        dead_daemons=after.dead_daemons | before.dead_daemons,
    )
    fields = zip(Holdings._fields, before, after, strict=True)
    return [(name, one, other) for name, one, other in fields if one != other]


def name_of(pid: int) -> str:
    """Tell what a process is: a helper, by its name, or a program, which may change it."""
    name = text_of(f"/proc/{pid}/comm").strip()
    return name if name.startswith("sandboxd-") else "program"


def kind_of(fd: str) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/self/fd/{fd}").split(":")[0].removesuffix(" (deleted)")
    return "gone"


def count_of(directory: str) -> int:
    with suppress(OSError):
        return len(os.listdir(directory))
    return -1


def lines_of(path: str) -> int:
    return len(text_of(path).splitlines())


def text_of(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace")
    return ""


def dead_daemons(places: Iterable[str]) -> list[str]:
    """Name the directories of daemons that no living one holds a lock on, as those of others do.

    Looked up rather than tried: a lock of ours would be in the way of another lane's daemon.
    """
    locked = {line.split()[5] for line in text_of("/proc/locks").splitlines() if "FLOCK" in line}
    found = [f"{place}/{name}" for place in places for name in os.listdir(place)]
    return [path for path in found if "/daemon-" in path and lock_of(path) not in {*locked, ""}]


def lock_of(path: str) -> str:
    """Name a directory as /proc/locks does; nothing when it has gone meanwhile."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"


# --- helpers --------------------------------------------------------------------------------------


def zygote_of(house: House) -> int:
    """Tell the zygote's process; there is one, because there is one root."""
    (zygote,) = children_of(house.launcher())
    return zygote


def kill(pid: int) -> bool:
    """Kill a process and wait until nobody can take it for alive; tell whether it was there."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        end = select.poll()
        end.register(pidfd, select.POLLIN)
        assert end.poll(PATIENCE * 1000), f"process {pid} does not die"
    finally:
        os.close(pidfd)
    return True


def children_of(pid: int) -> list[int]:
    return [child for child in descendants(pid) if parent_of(child) == pid]


def parent_of(pid: int) -> int:
    with suppress(OSError):
        return int(status_of(pid)["PPid"])
    return 0
