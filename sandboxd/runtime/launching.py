"""Starts the launcher's process, and says why one could not enter its namespace.

Decides its orders. The daemon never forks: the launcher is started by exec.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.identity import IdMode
from sandboxd.kernel import idmap
from sandboxd.runtime import channel as channels
from sandboxd.runtime.launcher import Orders

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from sandboxd.errors import StageError
    from sandboxd.identity import Identity
    from sandboxd.kernel.cgroups import Tree

_BOOT = "import sys; sys.path[:0] = {paths!r}; from sandboxd.runtime.launcher import main; main()"


@dataclass(slots=True)
class Launched:
    """A launcher's process, which does nothing before its orders, and our end of its channel."""

    channel: socket.socket
    process: subprocess.Popen[bytes]
    is_taken: bool = False
    """Whether a nursery has it, and will end it."""


def launch() -> Launched:
    """Start a launcher.

    Raises:
        OSError: it cannot be started.

    """
    ours, theirs = channels.pair()
    try:
        return Launched(ours, _execute(theirs.fileno()))
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()


@contextmanager
def launched_ahead() -> Iterator[Launched | None]:
    """Start a launcher whose interpreter gets ready while ours imports the rest.

    It is for a supervisor, which ends it; one that no supervisor took is killed. It has entered
    nothing then. None where it cannot be started: the supervisor will try, and name the reason.
    """
    try:
        launched = launch()
    except OSError:
        yield None
        return
    try:
        yield launched
    finally:
        if not launched.is_taken:
            launched.process.kill()
            launched.process.wait()
            launched.channel.close()


def orders(identity: Identity, tree: Tree, *, rejoin: bool) -> Orders:
    """Tell a launcher what to enter: a new namespace, or once more the one of a lost launcher."""
    return Orders(
        mode="rejoin" if rejoin else identity.mode.value,
        from_root=identity.started_as_root and not rejoin,
        drop_groups=identity.mode is IdMode.RANGE,
        uid=identity.uid,
        gid=identity.gid,
        uid_map=idmap.as_text(identity.uid_map),
        gid_map=idmap.as_text(identity.gid_map),
        cgroup_paths=tree.paths,
    )


def _execute(channel_fd: int) -> subprocess.Popen[bytes]:
    """Start a fresh, isolated interpreter: nothing of the user's environment reaches it."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *(path for path in sys.path if path.endswith("-packages"))]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-I", "-S", "-c", _BOOT.format(paths=paths), str(channel_fd)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[channel_fd],
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        cwd="/",
        # A terminal's Ctrl-C and Ctrl-\ reach the whole foreground group; the daemon decides alone.
        start_new_session=True,
    )


def cannot_enter(error: StageError, identity: Identity) -> HostError:
    """Say why a launcher could not enter its namespace, and what mends it."""
    remedy = "run `sandboxd doctor` as the same user"
    text = f"cannot enter a user namespace: {error}"
    return in_doctors_words(error, identity) or HostError("NAMESPACE_UNAVAILABLE", text, remedy)


def in_doctors_words(error: StageError, identity: Identity) -> HostError | None:
    """Say why this host refuses what a sandbox needs; None where the host is not to blame."""
    try:
        from sandboxd.doctor.failures import diagnose  # noqa: PLC0415 - hardly ever needed
    except (ImportError, OSError):  # given up with root: our code may lie where only root reads
        return None
    diagnosis = diagnose(error.stage, error.errno, error.detail, identity)
    if diagnosis is None:
        return None
    text, remedy = diagnosis
    return HostError("NAMESPACE_UNAVAILABLE", f"cannot make a sandbox here: {text}", remedy)
