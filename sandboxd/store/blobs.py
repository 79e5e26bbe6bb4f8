"""The store of blobs as everybody uses it: put, hold, read, list, delete. Safe for threads.

Each tenant has what it has put itself, and nothing is shared, not even equal bytes.
All of this does I/O, so none of it belongs into an event loop.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from sandboxd.errors import RequestError, Violation
from sandboxd.model.blob import Digest
from sandboxd.store import faults
from sandboxd.store.charge import largest_within
from sandboxd.store.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta
    from pathlib import Path

    from sandboxd.store.incoming import Incoming
    from sandboxd.store.ledger import Holding

STEP_BYTES = 8 << 20
"""Set aside ahead, at most: what is only announced costs nobody anything."""
PIECE_BYTES = 1 << 20
"""Read at a time."""
MAX_KNOWN_GOOD = 1 << 16


class BlobStore:
    """One directory of blobs; several processes may share it."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        time_to_live: timedelta | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open it. `max_bytes` is for all tenants together, `time_to_live` since the last use.

        Raises:
            HostError: the directory cannot be used.

        """
        self.max_bytes = max_bytes
        self._directory = directory
        self._lock = threading.Lock()
        self._known_good: dict[str, tuple[int, ...]] = {}
        with faults.named(directory):
            self._shelf = Shelf(directory, max_bytes, time_to_live, clock)

    def close(self) -> None:
        """Close it; nothing may be held or on its way any more."""
        with self._lock:
            self._shelf.close()

    @contextmanager
    def working(self) -> Iterator[Shelf]:
        """Have the shelf to ourselves; for this package.

        Raises:
            HostError: the disk or the database refuses.

        """
        with faults.named(self._directory), self._lock:
            yield self._shelf

    def upload(self, tenant: str, share_bytes: int | None = None) -> Upload:
        """Begin to take a blob in, for a tenant whose blobs may count so much in all.

        Raises:
            RequestError: not even an empty one could ever be kept.
            HostError: the disk is full or broken.

        """
        share_bytes = self.max_bytes if share_bytes is None else min(share_bytes, self.max_bytes)
        if largest_within(share_bytes) < 0:
            raise faults.too_large("data", share_bytes)
        with self.working() as shelf:
            shelf.expire()
            return Upload(self, shelf.begin(tenant), tenant, share_bytes)

    def missing(self, tenant: str, digests: Iterable[Digest]) -> list[Digest]:
        """Tell which of these the tenant lacks; the others count as used now."""
        with self.working() as shelf:
            shelf.expire()
            wanted = list(digests)
            found = shelf.find(tenant, wanted)
            return [d for d, holding in zip(wanted, found, strict=True) if holding is None]

    def hold(self, tenant: str, digest: Digest) -> Held:
        """Use a tenant's blob: until it is released it stays, and counts, deleted or not.

        Raises:
            PreconditionError: the tenant has none of this digest (reason BLOB_UNKNOWN).

        """
        with self.working() as shelf:
            shelf.expire()
            holding = shelf.hold(tenant, digest)
        if holding is None:
            raise faults.unknown(digest)
        return Held(self, holding)

    def page(self, tenant: str, after: str, count: int) -> list[Holding]:
        """List a tenant's blobs in the order of their digests, from the one after `after` on."""
        with self.working() as shelf:
            shelf.expire()
            return shelf.ledger.page(tenant, after, count)

    def bytes_of(self, tenant: str) -> int:
        """Tell what a tenant's blobs count, those too that leave with their last use."""
        with self.working() as shelf:
            shelf.expire()
            return shelf.ledger.bytes_of(tenant)

    def delete(self, tenant: str, digest: Digest) -> bool:
        """Take a blob from a tenant; tell whether it had it. Whoever holds it reads on."""
        with self.working() as shelf:
            shelf.expire()
            return shelf.remove(tenant, digest)

    def expire(self) -> None:
        """Remove what nobody has used for the time to live, as every other call does first."""
        with self.working() as shelf:
            shelf.expire()

    def release(self, held: Held) -> None:
        """End a use, which is the latest now; for `Held`."""
        with self.working() as shelf:
            try:
                shelf.find(held.holding.tenant, [held.digest])
            finally:
                shelf.release(held.holding)

    def is_known_good(self, file: str, about: os.stat_result) -> bool:
        """Tell whether this very file was read as a whole and found right since it last changed."""
        return self._known_good.get(file) == _state(about)

    def remember_good(self, file: str, about: os.stat_result) -> None:
        """Remember that a file was found right."""
        if len(self._known_good) >= MAX_KNOWN_GOOD:
            self._known_good.clear()
        self._known_good[file] = _state(about)


class Upload:
    """A blob on its way in: `write` in turn, then `commit`; else `discard`. For one thread."""

    def __init__(self, store: BlobStore, file: Incoming, tenant: str, share_bytes: int) -> None:
        """Take the file, whose it is, and the most that this one may have."""
        self._store = store
        self._file = file
        self._tenant = tenant
        self._share_bytes = share_bytes
        self._expected = Digest("")
        self._has_room = False

    def expect(self, sha256: str = "", size_bytes: int | None = None) -> None:
        """Say what will come, as far as it is known.

        Raises:
            RequestError: it could never be kept.

        """
        self._expected = Digest(sha256, size_bytes)
        if size_bytes is not None and size_bytes > largest_within(self._share_bytes):
            raise faults.too_large("digest.size_bytes", self._share_bytes)

    def write(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            RequestError: there are more than were expected, or than can ever be kept.
            Busy: all that could make room is in use.
            HostError: the disk is full or broken.

        """
        size = self._file.size_bytes + len(piece)
        most = self._expected.size_bytes
        if most is not None and size > most:
            raise _mismatch("size_bytes", f"must be that of the content, which is more than {most}")
        if size > largest_within(self._share_bytes):
            raise faults.too_large("data", self._share_bytes)
        if size > self._file.set_aside_bytes or not self._has_room:
            self._set_aside(max(size, min(size + STEP_BYTES, most or 0)))
        with faults.named("the store"):
            self._file.write(piece)

    def commit(self) -> Digest:
        """Keep it; when this returns it is on disk.

        Raises:
            RequestError: it is not what was expected; nothing is kept.
            Busy: it is empty, and all that could make room is in use.
            HostError: the disk is full or broken.

        """
        size, expected = self._file.size_bytes, self._expected
        if expected.size_bytes not in {None, size}:
            raise _mismatch("size_bytes", f"must be that of the content, which is {size}")
        if not self._has_room:
            self._set_aside(size)
        with faults.named("the store"):
            sha256 = self._file.finish()
        if expected.sha256 not in {"", sha256}:
            raise _mismatch("sha256", f"must be that of the content, which is {sha256}")
        with self._store.working() as shelf:
            shelf.put(self._file, sha256, self._tenant)
        return Digest(sha256, size)

    def discard(self) -> None:
        """Forget what has come, unless it is kept already."""
        self._file.discard()

    def _set_aside(self, size_bytes: int) -> None:
        with self._store.working() as shelf:
            shelf.set_aside(self._file, size_bytes, self._tenant, self._share_bytes)
        self._has_room = True


class Held:
    """A blob in use, until the context ends."""

    def __init__(self, store: BlobStore, holding: Holding) -> None:
        """Take what is pinned already."""
        self.holding = holding
        self._store = store

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Use it no more."""
        self.release()

    def release(self) -> None:
        """Use it no more; once only."""
        self._store.release(self)

    @property
    def digest(self) -> Digest:
        """Name the blob, its size too."""
        return self.holding.digest

    def open(self) -> int:
        """Give a read-only descriptor of the blob, the caller's to close; its bytes are verified.

        All of it is read for that, but only once by this process while the file stays as it is.

        Raises:
            BlobDamaged: the file is missing or has other bytes; it is out of the way now.

        """
        reader = self.read()
        try:
            if not reader.is_known_good:
                for _ in reader:
                    pass
            return os.dup(reader.fd)
        finally:
            reader.close()

    def read(self, offset: int = 0, limit: int | None = None) -> Reader:
        """Read a part of it, by default all; the caller closes the reader.

        Raises:
            RequestError: there is no such offset, or the limit is below zero.
            BlobDamaged: as `open`.

        """
        size = self.holding.size_bytes
        if not 0 <= offset <= size:
            raise RequestError(Violation("offset_bytes", f"must be from 0 to {size}, its size"))
        if limit is not None and limit < 0:
            raise RequestError(Violation("limit_bytes", "must not be below zero"))
        end = size if limit is None else min(size, offset + limit)
        if (offset, end) != (0, size):
            os.close(self.open())  # a part does not tell whether the whole is right
        return Reader(self._store, self.holding, offset, end)


class Reader:
    """Gives the bytes of a blob piece by piece; the last one only when all are right.

    A part is not looked at: see `Held.read`. For one thread at a time.
    """

    def __init__(self, store: BlobStore, holding: Holding, offset: int, end: int) -> None:
        """Open the file; the blob must be held."""
        self._store = store
        self._holding = holding
        self._offset, self._end = offset, end
        self._hash = None if (offset, end) != (0, holding.size_bytes) else hashlib.sha256()
        with store.working() as shelf:
            self.fd, self._about = shelf.open(holding)

    @property
    def is_known_good(self) -> bool:
        """Whether this very file has been found right before."""
        return self._store.is_known_good(self._holding.file, self._about)

    def __iter__(self) -> Iterator[bytes]:
        """Give all pieces that are left."""
        while piece := self.piece():
            yield piece

    def piece(self) -> bytes:
        """Give the next bytes; none at the end.

        Raises:
            BlobDamaged: as a whole these are not the blob's bytes; it is out of the way now.

        """
        wanted = min(PIECE_BYTES, self._end - self._offset)
        with faults.named("the store"):
            piece = os.pread(self.fd, wanted, self._offset)
        self._offset += len(piece)
        is_right = bool(piece) or not wanted
        if self._hash is not None:
            self._hash.update(piece)
            if self._offset == self._end:
                is_right = self._hash.hexdigest() == self._holding.sha256
        if not is_right:
            with self._store.working() as shelf:
                shelf.set_apart(self._holding)
            raise faults.damaged(self._holding.digest)
        if self._hash is not None and self._offset == self._end:
            self._store.remember_good(self._holding.file, self._about)
        return piece

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _mismatch(field: str, rule: str) -> RequestError:
    return RequestError(Violation(f"digest.{field}", rule))


def _state(about: os.stat_result) -> tuple[int, ...]:
    return about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
