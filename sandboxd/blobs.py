"""Blobs as a client uses them: `client.blobs.put(...)`, for asyncio and for plain code.

Any size goes through little memory: what is sent and what comes is a piece at a time.
"""

# ruff: noqa: ASYNC109 - `timeout` is gRPC's deadline, which the server sees too

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from sandboxd.model.blob import Digest, parse_digest
from sandboxd.v1 import blob_service_pb2 as pb
from sandboxd.v1 import blob_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from datetime import timedelta

    Source: TypeAlias = bytes | Path | Iterable[bytes]
    Progress: TypeAlias = Callable[[int], None]

PIECE_BYTES = 1 << 20


class StoredBlob(NamedTuple):
    """A blob that a server has for us."""

    digest: Digest
    last_use: datetime
    """In UTC, exact to about a second."""


class Caller(Protocol):
    """What a client does for its blobs: calls, with its credentials and its errors."""

    channel: Any

    def call(self, rpc: Any, request: Any, timeout: timedelta | None) -> Any:  # noqa: ANN401 - any rpc
        """Give the one answer."""

    def receive(self, rpc: Any, request: Any, timeout: timedelta | None) -> Any:  # noqa: ANN401 - any rpc
        """Give the answers as they come."""


class Blobs:
    """Our blobs on the server of a `Client`."""

    def __init__(self, client: Caller) -> None:
        """Take the client, which must be entered."""
        self._client = client
        self._stub: Any = pb_grpc.BlobServiceStub(client.channel)  # type: ignore[no-untyped-call]  # generated

    async def put(
        self,
        source: Source,
        *,
        on_progress: Progress | None = None,
        timeout: timedelta | None = None,
    ) -> Digest:
        """Store bytes, a file, or whatever some pieces are; when this returns it is on disk.

        Bytes and files are hashed first, and only sent if the server lacks them. `on_progress` is
        called with the count of each piece that is sent.

        Raises:
            RequestError: it is more than the server or our share there can hold.
            PreconditionError: the server keeps no blobs (reason BLOBS_OFF).
            Busy: all that could make room is in use.
            OSError: the file cannot be read.
            And as `Client.run`.

        """
        digest = await asyncio.to_thread(_digest_of, source)
        if digest is not None and not await self.missing((digest,), timeout=timeout):
            return digest
        requests = _requests(source, digest, on_progress)
        answer = await self._client.call(self._stub.UploadBlob, requests, timeout)
        return _digest(answer.digest)

    async def get(
        self,
        digest: Digest | str,
        *,
        offset: int = 0,
        limit: int | None = None,
        timeout: timedelta | None = None,
    ) -> AsyncIterator[bytes]:
        """Give a blob, or a part of it, piece by piece: `async for piece in blobs.get(digest)`.

        Pieces count only once the last has come: the server looks whether all are right.

        Raises:
            PreconditionError: we have none of this digest there (reason BLOB_UNKNOWN).
            RequestError: there is no such part.
            BlobDamaged: the server's disk has lost it.
            And as `Client.run`.

        """
        request = _download(digest, offset, limit)
        async for answer in self._client.receive(self._stub.DownloadBlob, request, timeout):
            yield answer.data

    async def missing(
        self, digests: Iterable[Digest | str], *, timeout: timedelta | None = None
    ) -> list[Digest]:
        """Tell which of these we would have to put; the others count as used now."""
        request = pb.FindMissingBlobsRequest(digests=map(_message, digests))
        answer = await self._client.call(self._stub.FindMissingBlobs, request, timeout)
        return [_digest(message) for message in answer.missing]

    async def list(self, *, timeout: timedelta | None = None) -> AsyncIterator[StoredBlob]:
        """Give all blobs that we have there, in the order of their digests."""
        token = None
        while token != "":
            request = pb.ListBlobsRequest(page_token=token or "")
            answer = await self._client.call(self._stub.ListBlobs, request, timeout)
            for blob in answer.blobs:
                yield _stored(blob)
            token = answer.next_page_token

    async def delete(self, digest: Digest | str, *, timeout: timedelta | None = None) -> bool:
        """Remove a blob; tell whether there was one. Jobs that use it use it to their end."""
        request = pb.DeleteBlobRequest(digest=_message(digest))
        answer = await self._client.call(self._stub.DeleteBlob, request, timeout)
        return bool(answer.deleted)


class SyncBlobs:
    """The synchronous twin of `Blobs`; may be shared by threads. Errors are the same."""

    def __init__(self, client: Caller) -> None:
        """Take the client, which must be entered."""
        self._client = client
        self._stub: Any = pb_grpc.BlobServiceStub(client.channel)  # type: ignore[no-untyped-call]  # generated

    def put(
        self,
        source: Source,
        *,
        on_progress: Progress | None = None,
        timeout: timedelta | None = None,
    ) -> Digest:
        """Store bytes, a file, or whatever some pieces are; as `Blobs.put`."""
        digest = _digest_of(source)
        if digest is not None and not self.missing((digest,), timeout=timeout):
            return digest
        requests = _requests(source, digest, on_progress)
        return _digest(self._client.call(self._stub.UploadBlob, requests, timeout).digest)

    def get(
        self,
        digest: Digest | str,
        *,
        offset: int = 0,
        limit: int | None = None,
        timeout: timedelta | None = None,
    ) -> Iterator[bytes]:
        """Give a blob, or a part of it, piece by piece; as `Blobs.get`."""
        request = _download(digest, offset, limit)
        for answer in self._client.receive(self._stub.DownloadBlob, request, timeout):
            yield answer.data

    def missing(
        self, digests: Iterable[Digest | str], *, timeout: timedelta | None = None
    ) -> list[Digest]:
        """Tell which of these we would have to put; the others count as used now."""
        request = pb.FindMissingBlobsRequest(digests=map(_message, digests))
        answer = self._client.call(self._stub.FindMissingBlobs, request, timeout)
        return [_digest(message) for message in answer.missing]

    def list(self, *, timeout: timedelta | None = None) -> Iterator[StoredBlob]:
        """Give all blobs that we have there, in the order of their digests."""
        token = None
        while token != "":
            request = pb.ListBlobsRequest(page_token=token or "")
            answer = self._client.call(self._stub.ListBlobs, request, timeout)
            yield from map(_stored, answer.blobs)
            token = answer.next_page_token

    def delete(self, digest: Digest | str, *, timeout: timedelta | None = None) -> bool:
        """Remove a blob; tell whether there was one. Jobs that use it use it to their end."""
        request = pb.DeleteBlobRequest(digest=_message(digest))
        return bool(self._client.call(self._stub.DeleteBlob, request, timeout).deleted)


def _digest_of(source: Source) -> Digest | None:
    """Hash what can be read twice."""
    if not isinstance(source, (bytes, Path)):
        return None
    hashed, size = hashlib.sha256(), 0
    for piece in _pieces(source):
        hashed.update(piece)
        size += len(piece)
    return Digest(hashed.hexdigest(), size)


def _pieces(source: Source) -> Iterator[bytes]:
    if isinstance(source, Path):
        with source.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
        return
    for whole in (source,) if isinstance(source, bytes) else source:
        for start in range(0, len(whole), PIECE_BYTES):
            yield whole[start : start + PIECE_BYTES]


def _requests(
    source: Source, digest: Digest | None, on_progress: Progress | None
) -> Iterator[pb.UploadBlobRequest]:
    yield pb.UploadBlobRequest(digest=None if digest is None else _message(digest))
    for piece in _pieces(source):
        yield pb.UploadBlobRequest(data=piece)
        if on_progress is not None:
            on_progress(len(piece))
    yield pb.UploadBlobRequest(finish=True)


def _download(digest: Digest | str, offset: int, limit: int | None) -> pb.DownloadBlobRequest:
    return pb.DownloadBlobRequest(digest=_message(digest), offset_bytes=offset, limit_bytes=limit)


def _message(digest: Digest | str) -> pb.Digest:
    if isinstance(digest, str):
        digest = parse_digest(digest)
    return pb.Digest(sha256=digest.sha256, size_bytes=digest.size_bytes)


def _digest(message: pb.Digest) -> Digest:
    return Digest(message.sha256, message.size_bytes if message.HasField("size_bytes") else None)


def _stored(message: pb.StoredBlob) -> StoredBlob:
    return StoredBlob(_digest(message.digest), message.last_use_time.ToDatetime(UTC))
