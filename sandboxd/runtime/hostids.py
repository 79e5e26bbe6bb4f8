"""The host ids of this daemon's sandboxes: pairs out of blocks that no other daemon holds.

Several daemons of one user share one subordinate range. Each claims blocks of it by a lock on a
file, so that no two live sandboxes ever share a host id. The launcher holds the locks, too, for as
long as it needs to end what a killed daemon left.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.kernel.idmap import IDS_PER_SANDBOX, Pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.identity import Identity

PAIRS_PER_BLOCK = 512
LOCK_PLACE = "/tmp/sandboxd-{uid}-ids"  # noqa: S108 - made 0700, and its owner is checked
"""One directory for all daemons of a user, whatever their environment says. A daemon with a /tmp of
its own (systemd PrivateTmp=) needs a range of its own."""


class HostIds:
    """Hands out pairs of host ids, claiming one block after another as they are needed."""

    def __init__(self, identity: Identity, share: Callable[[int], None]) -> None:
        """Look at the range; claims nothing yet.

        `share` gets a copy of each block's lock, for the launcher to hold, too.
        """
        self._identity = identity
        self._share = share
        count = identity.id_count // IDS_PER_SANDBOX
        size = min(PAIRS_PER_BLOCK, count)
        self._blocks = [range(first, first + size) for first in range(0, count - size + 1, size)]
        # In random order: should two daemons not see each other's locks, they hardly ever meet.
        random.shuffle(self._blocks)
        self._pairs = Pairs()
        self._lock_fds: list[int] = []

    def claim(self) -> None:
        """Claim one more block.

        Raises:
            HostError: every block is in use, or its lock cannot be made.

        """
        directory = self._place()
        while self._blocks:
            block = self._blocks[-1]
            fd = _lock(f"{directory}/{block.start}")
            self._blocks.pop()  # only now: one whose lock failed is tried again next time
            if fd is None:
                continue
            self._lock_fds.append(fd)
            self._pairs.add(block)
            self._share(os.dup(fd))
            return
        raise HostError(
            "IDS_EXHAUSTED",
            "cannot create a sandbox: every id of the range is in use",
            "give the service user a larger range in /etc/subuid and /etc/subgid",
        )

    @property
    def is_exhausted(self) -> bool:
        """Tell whether every pair is in use, as far as we know before we claim more."""
        return not self._pairs and not self._blocks

    def take(self) -> int:
        """Take the pair that has been free for longest."""
        try:
            return self._pairs.take()
        except IndexError:
            self.claim()
            return self._pairs.take()

    def give_back(self, pair: int) -> None:
        """Return a pair whose sandbox is gone."""
        self._pairs.give_back(pair)

    def release(self) -> None:
        """Give up every block."""
        for fd in self._lock_fds:
            os.close(fd)
        self._lock_fds.clear()

    def _place(self) -> str:
        uid = self._identity.uid
        path = LOCK_PLACE.format(uid=uid)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            status = os.lstat(path)
            if status.st_uid != uid or status.st_mode & 0o170077 != 0o040000:
                text = f"cannot claim host ids: {path} is not a private directory of uid {uid}"
                raise HostError("ID_LOCKS_TAKEN", text, f"remove {path}") from None
        except OSError as error:
            raise _no_lock(path, error) from error
        return path


def _lock(path: str) -> int | None:
    """Take the lock on a file, made if need be; None when another daemon has it."""
    fd = -1
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        if isinstance(error, BlockingIOError):
            return None
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            raise
        raise _no_lock(path, error) from error
    return fd


def _no_lock(path: str, error: OSError) -> HostError:
    text = f"cannot claim host ids: {path}: {error.strerror}"
    remedy = f"make room for files in {os.path.dirname(path)}"
    return HostError("ID_LOCKS_UNAVAILABLE", text, remedy)
