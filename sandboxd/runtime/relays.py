"""A pipe between two programs that leads through the daemon: recorded, or open to the end."""

from __future__ import annotations

import asyncio
import os
import time

from sandboxd.model.group import Recorded
from sandboxd.runtime.feed import Feed
from sandboxd.runtime.nursery import readable

PIECE_BYTES = 64 << 10
MAX_PIECES = 16384
"""Of a record; each takes memory of its own, and may be a single byte. What follows is one more."""


class Relay:
    """Passes on what one program writes to the one that reads it, as fast as that one reads."""

    def __init__(self, source_fd: int, sink_fd: int, *, swallow: bool, record_bytes: int) -> None:
        """Take over both descriptors, and say what to do when the reader is gone."""
        os.set_blocking(source_fd, False)
        self._source_fd = source_fd
        self._sink = Feed(sink_fd)
        self._swallow = swallow
        self._left_bytes = record_bytes
        self._pieces: list[tuple[int, bytes]] = []
        self._rest = bytearray()
        self._rest_ns = 0
        self._total_bytes = 0

    async def run(self) -> None:
        """Pass on everything, up to the end of the writer; without a reader drop it, or leave."""
        try:
            while piece := await self._piece():
                self._record(piece)
                await self._sink.write(piece)
                if self._sink.is_closed and not self._swallow:
                    return  # the writer's next write is its EPIPE
                await asyncio.sleep(0)  # neither end need ever make us wait
        finally:
            self.close()

    def recorded(self, name: str, began_ns: int) -> Recorded:
        """Give what was recorded, with times since a moment."""
        rest = [(self._rest_ns, bytes(self._rest))] if self._rest else []
        pieces = tuple((max(0, when - began_ns), data) for when, data in (*self._pieces, *rest))
        kept = sum(len(data) for _, data in pieces)
        return Recorded(name, pieces, self._total_bytes, self._total_bytes > kept)

    def close(self) -> None:
        """Let go of both ends; may be called twice."""
        self._sink.close()
        if self._source_fd >= 0:
            os.close(self._source_fd)
            self._source_fd = -1

    async def _piece(self) -> bytes:
        """Give the next bytes; none when all writers are gone."""
        while True:
            try:
                return os.read(self._source_fd, PIECE_BYTES)
            except BlockingIOError:
                await readable(self._source_fd)

    def _record(self, piece: bytes) -> None:
        self._total_bytes += len(piece)
        kept = piece[: self._left_bytes]
        self._left_bytes -= len(kept)
        if kept and len(self._pieces) < MAX_PIECES:
            self._pieces.append((time.monotonic_ns(), kept))
        elif kept:
            self._rest_ns = self._rest_ns or time.monotonic_ns()
            self._rest += kept
