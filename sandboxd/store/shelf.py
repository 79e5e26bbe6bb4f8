"""The files of a store and what is written about them: put, removed and made room for as one.

A file is only ever removed once it is on disk that nobody has it any more; one that nobody has is
no harm, and is gone at the next start. So whenever we are killed, what was acknowledged is there.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.model.blob import is_sha256
from sandboxd.store import faults, incoming
from sandboxd.store.incoming import Incoming
from sandboxd.store.ledger import Holding, Ledger
from sandboxd.store.pins import Pins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta
    from pathlib import Path

    from sandboxd.model.blob import Digest

USE_SECONDS = 1.0
"""A use is not written down when one was so shortly before."""


class Shelf:
    """One directory; several processes may use it. Its caller excludes other threads."""

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        time_to_live: timedelta | None,
        clock: Callable[[], float],
    ) -> None:
        """Open the directory, or make it, and clear away what the dead have left.

        Raises:
            HostError: others may enter it.
            OSError, sqlite3.Error: it cannot be used.

        """
        self.directory = directory
        self.max_bytes = max_bytes
        self._time_to_live = time_to_live
        self._clock = clock
        _make(directory)
        self._content, self._incoming = directory / "content", directory / "incoming"
        self._damaged = directory / "damaged"
        for below in (self._content, self._incoming, self._damaged):
            below.mkdir(0o700, exist_ok=True)
        self._content_fd = os.open(self._content, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.pins = Pins(directory / "pins")
        self.ledger = Ledger(directory / "ledger.sqlite")
        self._doomed: set[str] = set()
        self._clear()

    def close(self) -> None:
        """Close everything."""
        self.ledger.close()
        self.pins.close()
        os.close(self._content_fd)

    def path(self, sha256: str) -> Path:
        """Name a blob's file."""
        return self._content / sha256

    def begin(self, tenant: str) -> Incoming:
        """Make the file of a blob that comes."""
        with self.ledger.writing(durably=False):  # so that nobody takes it for a dead one's
            return Incoming(self._incoming, tenant)

    def set_aside(self, file: Incoming, size_bytes: int, tenant: str, share_bytes: int) -> None:
        """Let a blob that comes be so large, at the cost of what was not used for long.

        Raises:
            Busy: all that could make room is in use.

        """
        with self._changing():
            self._make_room(tenant, share_bytes, size_bytes - file.set_aside_bytes)
            file.set_aside(size_bytes)

    def put(self, file: Incoming, sha256: str, tenant: str) -> None:
        """Keep what has come, for a tenant; on disk when this returns.

        It has its room already, which was set aside. Whether it is here already, for whomever,
        makes no difference that anybody could see: the new file takes the old one's place.
        """
        with self._changing():
            self.ledger.put(Holding(tenant, sha256, file.size_bytes, self._clock()))
            file.move(self.path(sha256))
            os.fsync(self._content_fd)

    def find(self, tenant: str, digests: Iterable[Digest]) -> list[Holding | None]:
        """Find those of a tenant's blobs that are of these digests, and count that as a use."""
        found = [self.ledger.find(tenant, digest) for digest in digests]
        now = self._clock()
        old = [h for h in found if h is not None and abs(now - h.last_use) >= USE_SECONDS]
        if old:
            with self.ledger.writing(durably=False):
                for holding in old:
                    self.ledger.use(holding, now)
        return found

    def open(self, holding: Holding) -> tuple[int, os.stat_result]:
        """Give a descriptor of a blob that is held, and what the file is.

        Raises:
            BlobDamaged: it is missing or has another size; it is out of the way now.

        """
        inode = 0
        with suppress(FileNotFoundError):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(self.path(holding.sha256), flags)
            about = os.fstat(fd)
            if about.st_size == holding.size_bytes:
                return fd, about
            os.close(fd)
            inode = about.st_ino
        self.set_apart(holding.sha256, inode)
        raise faults.damaged(holding.digest)

    def remove(self, tenant: str, sha256: str) -> bool:
        """Take a blob from a tenant, in use or not; tell whether it had it."""
        with self._changing():
            return self._drop(sha256, tenant)

    def expire(self) -> None:
        """Remove what nobody used for the time to live, unless it is in use now."""
        if self._time_to_live is None:
            return
        moment = self._clock() - self._time_to_live.total_seconds()
        old = self.ledger.unused_since(moment)
        if not old:
            return
        with self._changing():
            for holding in old:
                self._evict_from(holding)

    def drop_unheld(self, sha256: str) -> None:
        """Remove a blob's file if nobody has it and nobody uses it."""
        if not self.ledger.is_held(sha256):
            with self.ledger.writing(durably=False):
                self._unlink_unheld(sha256)

    def set_apart(self, sha256: str, inode: int) -> None:
        """Move a damaged file out of the way, and forget the blob; not one that took its place."""
        with self._changing():
            with suppress(FileNotFoundError):
                if self.path(sha256).stat().st_ino != inode:
                    return
                self.path(sha256).rename(self._damaged / sha256)
            self.ledger.drop(sha256)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the ledger, then remove the files that nobody has any more."""
        self._doomed.clear()
        with self.ledger.writing():
            yield
        if self._doomed:
            with self.ledger.writing(durably=False):
                for sha256 in self._doomed:
                    self._unlink_unheld(sha256)

    def _make_room(self, tenant: str, share_bytes: int, more: int) -> None:
        """Remove what was not used for longest until `more` bytes fit: the tenant's, then any."""
        coming = incoming.on_their_way(self._incoming)
        own = coming[incoming.tenant_mark(tenant)]
        excess = self.ledger.bytes_of(tenant) + own + more - share_bytes
        for holding in self.ledger.oldest_of(tenant) if excess > 0 else ():
            if self._evict_from(holding):
                excess -= holding.size_bytes
            if excess <= 0:
                break
        if excess > 0:
            raise faults.share_in_use(share_bytes)
        excess = self.ledger.bytes_of_all() + coming.total() + more - self.max_bytes
        for holding in self.ledger.oldest() if excess > 0 else ():
            if self._evict(holding):
                excess -= holding.size_bytes
            if excess <= 0:
                break
        if excess > 0:
            raise faults.store_in_use()

    def _evict_from(self, holding: Holding) -> bool:
        """Take a blob from its tenant, unless that one uses it."""
        with self.pins.claimed(pin_of(holding.tenant, holding.sha256)) as is_free:
            return is_free and self._drop(holding.sha256, holding.tenant)

    def _evict(self, holding: Holding) -> bool:
        """Take a blob from all, unless one of them uses it."""
        with self.pins.claimed(holding.sha256) as is_free:
            return is_free and self._drop(holding.sha256, None)

    def _drop(self, sha256: str, tenant: str | None) -> bool:
        self._doomed.add(sha256)
        return self.ledger.drop(sha256, tenant)

    def _unlink_unheld(self, sha256: str) -> None:
        if self.ledger.is_held(sha256):
            return
        with self.pins.claimed(sha256) as is_free:
            if is_free:
                self.path(sha256).unlink(missing_ok=True)

    def _clear(self) -> None:
        """Clear away what the dead have left: halves of uploads, files of nobody, lost files."""
        with self.ledger.writing():
            incoming.sweep(self._incoming)
            held = {holding.sha256 for holding in self.ledger.all()}
            there = {name for name in os.listdir(self._content) if is_sha256(name)}
            for sha256 in held - there:
                self.ledger.drop(sha256)
            for sha256 in there - held:
                self._unlink_unheld(sha256)


def pin_of(tenant: str, sha256: str) -> str:
    """Name what a tenant uses: whether others use the same shows in nothing that it can see."""
    return f"{sha256} {tenant}"


def _make(directory: Path) -> None:
    directory.mkdir(0o700, exist_ok=True)
    about = directory.stat()
    if about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise HostError(
            "BLOBS_UNUSABLE",
            f"cannot keep blobs in {directory}: it is another user's, or others may enter it",
            f"chown it to uid {os.geteuid()} and chmod 700 it, or name one that does not exist yet",
        )
