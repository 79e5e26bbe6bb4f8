"""One blob on its way in: a temporary file that counts against quotas from its making on.

The file's size is what is set aside for it, so that every process sees all that is on its way. It
is locked by whoever writes it; one without a lock is of a process that died.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from sandboxd.store.charge import charged_bytes

if TYPE_CHECKING:
    from pathlib import Path

SYNC_EVERY_BYTES = 64 << 20
"""So much is written back at a time: a sync at the end alone would hold a thread for long."""
CONTENT_MODE = 0o400
"""Nobody writes a blob, not even a job that has the server's own user id and opens it anew."""


class Incoming:
    """The file, from its making to `moved` or `discard`."""

    def __init__(self, directory: Path, tenant: str) -> None:
        """Make it; the caller keeps `swept` from running meanwhile."""
        self.size_bytes = 0
        """Bytes written so far."""
        self.set_aside_bytes = 0
        self._hash = hashlib.sha256()
        self._unsynced_bytes = 0
        self._path = directory / f"{tenant_mark(tenant)}.{secrets.token_hex(8)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, CONTENT_MODE)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def set_aside(self, size_bytes: int) -> None:
        """Count as so large, from now on and for all."""
        os.ftruncate(self._fd, size_bytes)
        self.set_aside_bytes = size_bytes

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        self._hash.update(piece)
        view = memoryview(piece)
        while view:
            written = os.pwrite(self._fd, view, self.size_bytes)
            self.size_bytes += written
            self._unsynced_bytes += written
            view = view[written:]
        if self._unsynced_bytes >= SYNC_EVERY_BYTES:
            os.fdatasync(self._fd)
            self._unsynced_bytes = 0

    def finish(self) -> str:
        """Have all of it on disk, and give the SHA-256."""
        self.set_aside(self.size_bytes)
        os.fsync(self._fd)
        return self._hash.hexdigest()

    def move(self, to: Path) -> None:
        """Make it the file at another path."""
        self._path.rename(to)
        os.close(self._fd)
        self._fd = -1

    def discard(self) -> None:
        """Remove what is still here; may be called at any time, and twice."""
        if self._fd >= 0:
            with suppress(FileNotFoundError):
                self._path.unlink()
            os.close(self._fd)
            self._fd = -1


def tenant_mark(tenant: str) -> str:
    """Stand for a tenant in file names."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:16]


def on_their_way(directory: Path) -> Counter[str]:
    """Tell what all that is set aside counts for each tenant, by its mark."""
    found: Counter[str] = Counter()
    with os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                found[entry.name.partition(".")[0]] += charged_bytes(entry.stat().st_size)
    return found


def sweep(directory: Path) -> None:
    """Remove what the dead have left; the caller keeps everybody from making files meanwhile."""
    for path in directory.iterdir():
        with suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # somebody writes it
            path.unlink()
