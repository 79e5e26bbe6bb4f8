"""What is in use now, in all processes that share a store; the kernel forgets the dead.

A key that is in use is a shared lock on one byte of a file, far behind its end. Locks of open file
descriptions (fcntl(2), Linux 3.15), because those of processes vanish when any descriptor of the
file is closed. Never locks on the blobs themselves: a job that reads one could take such a lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OFFSET_DIGITS = 15
"""Hexadecimal; an offset has 63 bits. Two keys with one byte are only in use together."""


class Pins:
    """Counts what this process uses, and sees what others do. Its caller excludes other threads."""

    def __init__(self, path: Path) -> None:
        """Open the file of locks, or make it."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._counts: Counter[str] = Counter()

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._fd)

    def pin(self, key: str) -> None:
        """Count one more use; waits while another process removes it."""
        if not self._counts[key]:
            self._lock(fcntl.F_OFD_SETLKW, fcntl.F_RDLCK, key)
        self._counts[key] += 1

    def unpin(self, key: str) -> None:
        """Count one use less."""
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]
            self._lock(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, key)

    @contextmanager
    def claimed(self, key: str) -> Iterator[bool]:
        """Keep others from using it while the context lasts; False: somebody does already."""
        if self._counts[key] or not self._try(key):
            yield False
            return
        try:
            yield True
        finally:
            self._lock(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, key)

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Keep all other processes out while the context lasts; nothing in use has this key."""
        self._lock(fcntl.F_OFD_SETLKW, fcntl.F_WRLCK, key)
        try:
            yield
        finally:
            self._lock(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, key)

    def _try(self, key: str) -> bool:
        try:
            self._lock(fcntl.F_OFD_SETLK, fcntl.F_WRLCK, key)
        except BlockingIOError:
            return False
        return True

    def _lock(self, how: int, kind: int, key: str) -> None:
        start = int(hashlib.sha256(key.encode()).hexdigest()[:OFFSET_DIGITS], 16)
        fcntl.fcntl(self._fd, how, struct.pack("hhqqi0q", kind, os.SEEK_SET, start, 1, 0))
