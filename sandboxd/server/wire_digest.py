"""Between the message Digest and its value; pure. Jobs and blobs share it."""

from __future__ import annotations

from sandboxd.errors import Violation
from sandboxd.model.blob import Digest, is_sha256
from sandboxd.v1 import blob_service_pb2 as pb


def digest_violations(message: pb.Digest, path: str) -> list[Violation]:
    """Tell what is wrong with a digest."""
    broken = []
    if not is_sha256(message.sha256):
        rule = "must be 64 lowercase hexadecimal digits"
        broken.append(Violation(f"{path}.sha256", rule))
    if message.size_bytes < 0:
        broken.append(Violation(f"{path}.size_bytes", "must not be below zero"))
    return broken


def digest_of(message: pb.Digest) -> Digest:
    """Give the digest that a message names, right or wrong."""
    size_bytes = message.size_bytes if message.HasField("size_bytes") else None
    return Digest(message.sha256, size_bytes)


def from_digest(digest: Digest) -> pb.Digest:
    """Give the message that names a digest."""
    return pb.Digest(sha256=digest.sha256, size_bytes=digest.size_bytes)
