"""The servicer of blobs: a thin line from messages to the store, which works in threads.

Takes and gives a piece at a time, so that a blob of any size needs little memory; gRPC's flow
control does the rest.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from sandboxd.errors import HostError, PreconditionError, RequestError, Violation
from sandboxd.server import calls, wire_blobs
from sandboxd.server.streams import Streams, arriving
from sandboxd.server.wire_digest import from_digest
from sandboxd.v1 import blob_service_pb2 as pb
from sandboxd.v1 import blob_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from sandboxd.server.threads import Threads
    from sandboxd.store.blobs import BlobStore, Upload

    Context = grpc.aio.ServicerContext[Any, Any]

log = logging.getLogger(__name__)

TIDY_SECONDS = 60.0
"""How long a blob may outlive its time where nobody asks for any."""
DESCRIPTOR = pb.DESCRIPTOR.services_by_name["BlobService"]


class BlobService(pb_grpc.BlobServiceServicer):
    """Serves `sandboxd.v1.BlobService` with one store, or says that there is none."""

    def __init__(self, store: BlobStore | None, threads: Threads) -> None:
        """Take the store and what works for it; both outlive us."""
        self._store = store
        self._threads = threads
        self._streams = Streams()

    async def FindMissingBlobs(  # noqa: N802
        self, request: pb.FindMissingBlobsRequest, _context: Context
    ) -> pb.FindMissingBlobsResponse:
        """Tell which of some blobs the caller lacks."""
        store = self._there()
        with self._streams.one_more(_tenant()):  # a cancelled call works on, and is counted still
            digests = wire_blobs.to_digests(request)
            missing = await self._threads.do(store.missing, _tenant(), digests)
        return pb.FindMissingBlobsResponse(missing=map(from_digest, missing))

    async def UploadBlob(  # noqa: N802
        self, requests: AsyncIterator[pb.UploadBlobRequest], _context: Context
    ) -> pb.UploadBlobResponse:
        """Store one blob, or nothing."""
        store, share_bytes, tenant = self._there(), calls.known().caller.share.blob_bytes, _tenant()
        threads = self._threads
        with self._streams.one_more(tenant):
            async with threads.having(
                lambda: store.upload(tenant, share_bytes), lambda upload: upload.discard()
            ) as upload:
                place = _Place()
                async for request in arriving(requests):
                    await threads.do(_take, upload, request, place)
                place.check_end()
                digest = await threads.do(upload.commit)
        calls.current().blob = str(digest)
        return pb.UploadBlobResponse(digest=from_digest(digest))

    async def DownloadBlob(  # noqa: N802
        self, request: pb.DownloadBlobRequest, context: Context
    ) -> None:
        """Give one blob, or a part of it."""
        limit = request.limit_bytes if request.HasField("limit_bytes") else None
        store, tenant, threads = self._there(), _tenant(), self._threads
        digest = wire_blobs.to_digest(request.digest)
        with self._streams.one_more(tenant):
            async with (
                threads.having(lambda: store.hold(tenant, digest), store.release) as held,
                threads.having(
                    lambda: held.read(request.offset_bytes, limit), lambda reader: reader.close()
                ) as reader,
            ):
                while piece := await threads.do(reader.piece):
                    message = pb.DownloadBlobResponse(data=piece)
                    await self._streams.send(message, tenant, context)

    async def ListBlobs(  # noqa: N802
        self, request: pb.ListBlobsRequest, _context: Context
    ) -> pb.ListBlobsResponse:
        """List a page of the caller's blobs."""
        store, (after, count) = self._there(), wire_blobs.to_page(request)
        with self._streams.one_more(_tenant()):
            found = await self._threads.do(store.page, _tenant(), after, count + 1)
            total_bytes = await self._threads.do(store.bytes_of, _tenant())
        return wire_blobs.from_page(found, count, total_bytes)

    async def DeleteBlob(  # noqa: N802
        self, request: pb.DeleteBlobRequest, _context: Context
    ) -> pb.DeleteBlobResponse:
        """Remove one of the caller's blobs."""
        store, digest = self._there(), wire_blobs.to_digest(request.digest)
        calls.current().blob = str(digest)
        with self._streams.one_more(_tenant()):
            deleted = await self._threads.do(store.delete, _tenant(), digest)
        return pb.DeleteBlobResponse(deleted=deleted)

    async def tidy(self) -> None:
        """Remove what has had its time, every now and then, for as long as this runs."""
        while self._store is not None:
            try:
                await self._threads.do(self._store.expire)
            except HostError as error:
                log.error("%s", error)  # noqa: TRY400 - no trace
            await asyncio.sleep(TIDY_SECONDS)

    def _there(self) -> BlobStore:
        if self._store is None:
            raise blobs_off()
        return self._store


def blobs_off() -> PreconditionError:
    """Tell that this server keeps no blobs."""
    text = "cannot keep blobs: this server was started without a place for them"
    return PreconditionError("BLOBS_OFF", "blobs", text, "as the operator give --blobs")


class _Place:
    """Where in its stream an upload is."""

    def __init__(self) -> None:
        self._is_first = True
        self._is_over = False
        self._is_told = False
        """Whether the end is known by what was said at the beginning."""

    def enter(self, request: pb.UploadBlobRequest) -> None:
        """Take the next message."""
        if self._is_over:
            raise RequestError(Violation("finish", "must be in the last message only"))
        if request.HasField("digest"):
            if not self._is_first:
                raise RequestError(Violation("digest", "must be in the first message only"))
            self._is_told = bool(request.digest.sha256) or request.digest.HasField("size_bytes")
        self._is_first, self._is_over = False, request.finish

    def check_end(self) -> None:
        """Refuse a stream that may have been cut: gRPC shows its end before it shows why."""
        if not (self._is_over or self._is_told):
            rule = "must be set in the last message, or digest in the first"
            raise RequestError(Violation("finish", rule))


def _take(upload: Upload, request: pb.UploadBlobRequest, place: _Place) -> None:
    """Take one message of an upload."""
    place.enter(request)
    if request.HasField("digest"):
        expected = wire_blobs.to_expected(request)
        upload.expect(expected.sha256, expected.size_bytes)
    if len(request.data) > wire_blobs.MAX_PIECE_BYTES:
        rule = f"must be at most {wire_blobs.MAX_PIECE_BYTES} bytes in one message"
        raise RequestError(Violation("data", rule))
    upload.write(request.data)


def _tenant() -> str:
    return calls.known().tenant
