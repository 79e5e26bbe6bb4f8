"""What a program reads, as a descriptor: its bytes in sealed memory, wherever they come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandboxd.model.job import size_of
from sandboxd.runtime.channel import sealed_copy, sealed_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandboxd.model.blob import Digest


def stdin_fd(content: bytes | Digest, blob_fds: Mapping[str, int]) -> int:
    """Give a read-only descriptor of the input: sealed memory needs no pump and cannot block.

    Never that of a blob's file: its path and times would show, and Landlock would not let the
    program open it anew by /dev/stdin.
    """
    if not size_of(content):
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    if isinstance(content, bytes):
        fd = sealed_memory(content, "stdin")
    else:
        fd = sealed_copy(blob_fds[content.sha256], size_of(content), "stdin")
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(fd)
