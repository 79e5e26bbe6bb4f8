"""Between the messages of BlobService and the values of `sandboxd.model.blob`; pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sandboxd.errors import RequestError, Violation
from sandboxd.model.blob import is_sha256
from sandboxd.server.wire_digest import digest_of, digest_violations, from_digest
from sandboxd.v1 import blob_service_pb2 as pb

if TYPE_CHECKING:
    from sandboxd.model.blob import Digest
    from sandboxd.store.ledger import Holding

MAX_DIGESTS = 4096
MAX_PIECE_BYTES = 4 << 20
DEFAULT_PAGE, MAX_PAGE = 100, 1000


def to_digest(message: pb.Digest, path: str = "digest") -> Digest:
    """Give the digest that a message names.

    Raises:
        RequestError: it is none.

    """
    broken = digest_violations(message, path)
    if broken:
        raise RequestError(*broken)
    return digest_of(message)


def to_digests(request: pb.FindMissingBlobsRequest) -> list[Digest]:
    """Give the digests to look for.

    Raises:
        RequestError: one is none, or there are too many.

    """
    if len(request.digests) > MAX_DIGESTS:
        raise RequestError(Violation("digests", f"must have at most {MAX_DIGESTS} entries"))
    broken = [
        violation
        for index, message in enumerate(request.digests)
        for violation in digest_violations(message, f"digests[{index}]")
    ]
    if broken:
        raise RequestError(*broken)
    return [digest_of(message) for message in request.digests]


def to_expected(request: pb.UploadBlobRequest) -> Digest:
    """Give what an upload shall be, as far as its first message says.

    Raises:
        RequestError: that is no digest.

    """
    message = request.digest
    if message.sha256:
        return to_digest(message)
    if message.size_bytes < 0:
        raise RequestError(Violation("digest.size_bytes", "must not be below zero"))
    return digest_of(message)


def to_page(request: pb.ListBlobsRequest) -> tuple[str, int]:
    """Give the digest after which a page begins, and how many it may have.

    Raises:
        RequestError: the size or the token is none.

    """
    broken = []
    if request.page_size < 0:
        broken.append(Violation("page_size", "must not be below zero"))
    if request.page_token and not is_sha256(request.page_token):
        broken.append(Violation("page_token", "must be a next_page_token"))
    if broken:
        raise RequestError(*broken)
    return request.page_token, min(request.page_size or DEFAULT_PAGE, MAX_PAGE)


def from_page(found: list[Holding], count: int, total_bytes: int) -> pb.ListBlobsResponse:
    """Give the answer that carries a page; of one more than `count` it has a next one."""
    page = found[:count]
    response = pb.ListBlobsResponse(total_bytes=total_bytes)
    if len(found) > count:
        response.next_page_token = page[-1].sha256
    for holding in page:
        stored = response.blobs.add(digest=from_digest(holding.digest))
        stored.last_use_time.FromDatetime(datetime.fromtimestamp(holding.last_use, UTC))
    return response
