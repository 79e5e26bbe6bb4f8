"""Stored bytes by their digest: the values that the store, the server and jobs share."""

from __future__ import annotations

import re
from dataclasses import dataclass

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The name of a blob: the SHA-256 of its bytes, and how many there are."""

    sha256: str
    """64 lowercase hexadecimal digits."""
    size_bytes: int | None = None
    """None: not said; whoever has the blob knows."""

    def __str__(self) -> str:
        """Give it as people write it."""
        return f"sha256:{self.sha256}"


def is_sha256(text: str) -> bool:
    """Tell whether some text can be a digest."""
    return SHA256.fullmatch(text) is not None


def parse_digest(text: str) -> Digest:
    """Read a digest as `str` gives it; the prefix may be missing.

    Raises:
        ValueError: the text is none.

    """
    sha256 = text.removeprefix("sha256:")
    if not is_sha256(sha256):
        raise ValueError(f"{text!r} is no digest; write sha256: and 64 hexadecimal digits")
    return Digest(sha256)


class Fetched(bytes):
    """The bytes of a blob, in memory; bounded as blobs are, not as what a caller sends."""

    __slots__ = ()
