"""The servicer of blobs: a thin line from messages to the store, which works in threads.

Takes and gives a piece at a time, so that a blob of any size needs little memory; gRPC's flow
control does the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandboxd.errors import PreconditionError, RequestError, Violation
from sandboxd.server import calls, wire_blobs
from sandboxd.v1 import blob_service_pb2 as pb
from sandboxd.v1 import blob_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from sandboxd.server.threads import Threads
    from sandboxd.store.blobs import BlobStore, Upload

    Context = grpc.aio.ServicerContext[Any, Any]

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["BlobService"]


class BlobService(pb_grpc.BlobServiceServicer):
    """Serves `sandboxd.v1.BlobService` with one store, or says that there is none."""

    def __init__(self, store: BlobStore | None, threads: Threads) -> None:
        """Take the store and what works for it; both outlive us."""
        self._store = store
        self._threads = threads

    async def FindMissingBlobs(  # noqa: N802
        self, request: pb.FindMissingBlobsRequest, _context: Context
    ) -> pb.FindMissingBlobsResponse:
        """Tell which of some blobs the caller lacks."""
        store, digests = self._there(), wire_blobs.to_digests(request)
        missing = await self._threads.do(store.missing, _tenant(), digests)
        return pb.FindMissingBlobsResponse(missing=map(wire_blobs.from_digest, missing))

    async def UploadBlob(  # noqa: N802
        self, requests: AsyncIterator[pb.UploadBlobRequest], _context: Context
    ) -> pb.UploadBlobResponse:
        """Store one blob, or nothing."""
        store, share_bytes, tenant = self._there(), _known().caller.share.blob_bytes, _tenant()
        async with self._threads.having(
            lambda: store.upload(tenant, share_bytes), lambda upload: upload.discard()
        ) as upload:
            is_first = True
            async for request in requests:
                await self._threads.do(_take, upload, request, is_first=is_first)
                is_first = False
            digest = await self._threads.do(upload.commit)
        return pb.UploadBlobResponse(digest=wire_blobs.from_digest(digest))

    async def DownloadBlob(  # noqa: N802
        self, request: pb.DownloadBlobRequest, context: Context
    ) -> None:
        """Give one blob, or a part of it."""
        limit = request.limit_bytes if request.HasField("limit_bytes") else None
        store, tenant = self._there(), _tenant()
        digest = wire_blobs.to_digest(request.digest)
        threads = self._threads
        async with (
            threads.having(lambda: store.hold(tenant, digest), store.release) as held,
            threads.having(
                lambda: held.read(request.offset_bytes, limit), lambda reader: reader.close()
            ) as reader,
        ):
            while piece := await threads.do(reader.piece):
                await context.write(pb.DownloadBlobResponse(data=piece))

    async def ListBlobs(  # noqa: N802
        self, request: pb.ListBlobsRequest, _context: Context
    ) -> pb.ListBlobsResponse:
        """List a page of the caller's blobs."""
        store, (after, count) = self._there(), wire_blobs.to_page(request)
        found = await self._threads.do(store.page, _tenant(), after, count + 1)
        total_bytes = await self._threads.do(store.bytes_of, _tenant())
        return wire_blobs.from_page(found, count, total_bytes)

    async def DeleteBlob(  # noqa: N802
        self, request: pb.DeleteBlobRequest, _context: Context
    ) -> pb.DeleteBlobResponse:
        """Remove one of the caller's blobs."""
        store, digest = self._there(), wire_blobs.to_digest(request.digest)
        return pb.DeleteBlobResponse(
            deleted=await self._threads.do(store.delete, _tenant(), digest)
        )

    def _there(self) -> BlobStore:
        if self._store is None:
            text = "cannot keep blobs: this server was started without a place for them"
            raise PreconditionError("BLOBS_OFF", "blobs", text, "as the operator give --blobs")
        return self._store


def _take(upload: Upload, request: pb.UploadBlobRequest, *, is_first: bool) -> None:
    """Take one message of an upload."""
    if request.HasField("digest"):
        if not is_first:
            raise RequestError(Violation("digest", "must be in the first message only"))
        expected = wire_blobs.to_expected(request)
        upload.expect(expected.sha256, expected.size_bytes)
    if len(request.data) > wire_blobs.MAX_PIECE_BYTES:
        rule = f"must be at most {wire_blobs.MAX_PIECE_BYTES} bytes in one message"
        raise RequestError(Violation("data", rule))
    upload.write(request.data)


def _known() -> calls.Known:
    known = calls.current().known
    assert known is not None  # noqa: S101 - the guard let it in
    return known


def _tenant() -> str:
    return _known().tenant
