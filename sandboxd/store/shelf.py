"""The files of a store and what is written about them: put, removed and made room for as one.

Each blob of each tenant is a file of its own, under a name that no other ever has: so what a tenant
does costs time and disk of its own alone, and nothing shows of what others have.

A file is only ever removed once it is on disk that its tenant has it no more; one that nobody has
is no harm, and gone at the next start. So whenever we are killed, what was acknowledged is there.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.model.blob import Digest, is_sha256
from sandboxd.store import faults, incoming
from sandboxd.store.charge import charged_bytes
from sandboxd.store.incoming import Incoming
from sandboxd.store.ledger import Holding, Ledger
from sandboxd.store.pins import Pins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta
    from pathlib import Path

USE_SECONDS = 1.0
"""A use is not written down when one was so shortly before."""
BATCH = 256
"""So many are removed in one transaction at most: others wait for it."""


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
        with self.pins.alone("the ledger is opened"):
            self.ledger = Ledger(directory / "ledger.sqlite")
        self._doomed: list[str] = []
        """Files that nobody has once the change is written down."""
        self._unwritten: list[str] = []
        """Files that nobody has before it is."""
        self._claims = ExitStack()
        self._clear()

    def close(self) -> None:
        """Close everything."""
        self.ledger.close()
        self.pins.close()
        os.close(self._content_fd)

    def path(self, file: str) -> Path:
        """Give the path of a blob's file."""
        return self._content / file

    def begin(self, tenant: str) -> Incoming:
        """Make the file of a blob that comes; it counts, but needs no room yet."""
        with self.ledger.writing(durably=False):  # so that nobody takes it for a dead one's
            return Incoming(self._incoming, tenant)

    def set_aside(self, file: Incoming, size_bytes: int, tenant: str, share_bytes: int) -> None:
        """Let a blob that comes be so large, at the cost of what was not used for long.

        Raises:
            Busy: all that could make room is in use.

        """
        more = charged_bytes(size_bytes) - charged_bytes(file.set_aside_bytes)
        with self._changing():
            self._make_room(tenant, share_bytes, more)
            file.set_aside(size_bytes)

    def put(self, coming: Incoming, sha256: str, tenant: str) -> None:
        """Keep what has come, for a tenant; on disk when this returns.

        It has its room already, which was set aside. An older one of the same digest goes, or
        leaves and counts for as long as it is used.
        """
        file = f"{sha256}.{secrets.token_hex(8)}"
        with self._changing():
            self._part_with(self.ledger.find(tenant, Digest(sha256)))
            self.ledger.put(Holding(file, tenant, sha256, coming.size_bytes, self._clock()))
            self._unwritten.append(file)
            coming.move(self.path(file))
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

    def hold(self, tenant: str, digest: Digest) -> Holding | None:
        """Have a tenant's blob stay until it is released; None: it has none of this digest."""
        while True:
            (found,) = self.find(tenant, [digest])
            if found is None:
                return None
            self.pins.pin(found.file)  # waits while it is removed
            now = self.ledger.find(tenant, digest)
            if now is not None and now.file == found.file:
                return found
            self.release(found)  # removed meanwhile, or another has taken its place

    def release(self, holding: Holding) -> None:
        """End a use; the last one of what leaves is its end."""
        self.pins.unpin(holding.file)
        if any(leaving.file == holding.file for leaving in self.ledger.leaving()):
            with self._changing():
                self._evict(holding)

    def open(self, holding: Holding) -> tuple[int, os.stat_result]:
        """Give a descriptor of a blob that is held, and what the file is.

        Raises:
            BlobDamaged: it is missing or has another size; it is out of the way now.

        """
        with suppress(FileNotFoundError):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(self.path(holding.file), flags)
            about = os.fstat(fd)
            if about.st_size == holding.size_bytes:
                return fd, about
            os.close(fd)
        self.set_apart(holding)
        raise faults.damaged(holding.digest)

    def remove(self, tenant: str, digest: Digest) -> bool:
        """Take a blob from a tenant, now or after its last use; tell whether it had it."""
        with self._changing():
            found = self.ledger.find(tenant, digest)
            self._part_with(found)
            return found is not None

    def expire(self) -> None:
        """Remove what nobody used for the time to live, and what leaves, unless it is in use."""
        old = self.ledger.leaving()
        if self._time_to_live is not None:
            old += self.ledger.unused_since(self._clock() - self._time_to_live.total_seconds())
        rest = iter(old)
        while batch := list(islice(rest, BATCH)):
            with self._changing():
                for holding in batch:
                    self._evict(holding)

    def set_apart(self, holding: Holding) -> None:
        """Move a damaged file out of the way, and forget the blob."""
        with self._changing():
            with suppress(FileNotFoundError):
                self.path(holding.file).rename(self._damaged / holding.file)
            self.ledger.drop(holding.file)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the ledger, then remove the files that nobody has any more.

        Nobody begins to use what is removed before the change is to be seen.
        """
        self._doomed.clear()
        self._unwritten.clear()
        gone = self._unwritten
        with self._claims:
            try:
                with self.ledger.writing():
                    yield
                gone = self._doomed
            finally:
                for file in gone:
                    self.path(file).unlink(missing_ok=True)

    def _make_room(self, tenant: str, share_bytes: int, more: int) -> None:
        """Remove what was not used for longest until `more` bytes fit: the tenant's, then any."""
        coming = incoming.on_their_way(self._incoming)
        own = coming[incoming.tenant_mark(tenant)]
        excess = self.ledger.bytes_of(tenant) + own + more - share_bytes
        if self._evict_for(excess, self.ledger.oldest_of(tenant)) > 0:
            raise faults.share_in_use(share_bytes)
        excess = self.ledger.bytes_of_all() + coming.total() + more - self.max_bytes
        if self._evict_for(excess, self.ledger.oldest()) > 0:
            raise faults.store_in_use()

    def _evict_for(self, excess: int, oldest: Iterator[Holding]) -> int:
        """Remove until nothing is in excess; tell what still is."""
        while excess > 0 and (holding := next(oldest, None)) is not None:
            if self._evict(holding):
                excess -= holding.charged_bytes
        return excess

    def _evict(self, holding: Holding) -> bool:
        """Remove a blob, unless it is in use; tell whether it is gone."""
        if not self._claims.enter_context(self.pins.claimed(holding.file)):
            return False
        self.ledger.drop(holding.file)
        self._doomed.append(holding.file)
        return True

    def _part_with(self, holding: Holding | None) -> None:
        """Remove a blob, or have it leave if it is in use."""
        if holding is not None and not self._evict(holding):
            self.ledger.leave(holding.file)

    def _clear(self) -> None:
        """Clear away what the dead have left: halves of uploads, files of nobody, lost files."""
        with self._changing():
            incoming.sweep(self._incoming)
            held = self.ledger.files()
            there = {name for name in os.listdir(self._content) if _is_ours(name)}
            for file in held - there:
                self.ledger.drop(file)
            self._doomed += there - held


def _is_ours(name: str) -> bool:
    return is_sha256(name.partition(".")[0])


def _make(directory: Path) -> None:
    directory.mkdir(0o700, exist_ok=True)
    about = directory.stat()
    if about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise HostError(
            "BLOBS_UNUSABLE",
            f"cannot keep blobs in {directory}: it is another user's, or others may enter it",
            f"chown it to uid {os.geteuid()} and chmod 700 it, or name one that does not exist yet",
        )
