"""Which processes keep jobs now: each has a locked file; the kernel unlocks those of the dead.

A lock by flock(2) ends with its process however that ends, so a dead owner is known at once, and
one that is only slow never counts as dead.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Owners:
    """The files; whoever makes or removes one keeps all others from doing so."""

    def __init__(self, directory: Path) -> None:
        """Take our own name and lock it."""
        directory.mkdir(0o700, exist_ok=True)
        self._directory = directory
        self.own_name = secrets.token_hex(8)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(directory / self.own_name, flags, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """End to be one; may be called twice."""
        if self._fd >= 0:
            with suppress(FileNotFoundError):
                (self._directory / self.own_name).unlink()
            os.close(self._fd)
            self._fd = -1

    def lives(self, name: str) -> bool:
        """Tell whether an owner lives."""
        return name == self.own_name or not self._is_free(name)

    def others_live(self) -> bool:
        """Tell whether any other one lives; forget the dead."""
        names = {path.name for path in self._directory.iterdir()} - {self.own_name}
        dead = {name for name in names if self._is_free(name)}
        for name in dead:
            with suppress(FileNotFoundError):
                (self._directory / name).unlink()
        return names != dead

    def _is_free(self, name: str) -> bool:
        try:
            fd = os.open(self._directory / name, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(fd)
