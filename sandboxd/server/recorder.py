"""The output of a running job on its way to disk: gathered for a moment, then written in a thread.

A program that writes faster than the disk waits in its pipes: what is held here is bounded.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.jobs.output import Piece, joined

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandboxd.runtime.live import Piece as Heard

GATHER_SECONDS = 0.01
"""From a write to the next one."""
HIGH_BYTES = 1 << 20


class Recorder:
    """Takes pieces as they come, and writes them in turn until it is closed."""

    def __init__(
        self, write: Callable[[list[Piece]], Awaitable[None]], on_full: Callable[[bool], None]
    ) -> None:
        """Take what writes, and what is told when too much waits (True), and no more (False)."""
        self.error: HostError | None = None
        """Why nothing is written any more."""
        self.size_bytes = 0
        """Of all that came."""
        self._write = write
        self._on_full = on_full
        self._pieces: list[Piece] = []
        self._waiting_bytes = 0
        self._is_full = False
        self._closing = asyncio.Event()
        self._news = asyncio.Event()

    def take(self, heard: Heard) -> None:
        """Take a piece; never waits."""
        if self.error is not None:
            return
        piece = Piece(self.size_bytes, heard.stream, heard.offset, heard.time_ns, heard.data)
        self._pieces.append(piece)
        self.size_bytes += len(heard.data)
        self._waiting_bytes += len(heard.data)
        self._news.set()
        if self._waiting_bytes > HIGH_BYTES and not self._is_full:
            self._is_full = True
            self._on_full(True)  # noqa: FBT003 - full

    def close(self) -> None:
        """Say that nothing more comes."""
        self._closing.set()
        self._news.set()

    async def run(self, on_error: Callable[[], None]) -> None:
        """Write until it is closed and all is written, or `on_error` is called."""
        while self._pieces or not self._closing.is_set():
            if not self._pieces:
                self._news.clear()
                await self._news.wait()
                continue
            pieces, self._pieces, self._waiting_bytes = joined(self._pieces), [], 0
            try:
                await self._write(pieces)
            except HostError as error:
                self.error = error
                self._pieces.clear()
                on_error()
                return
            if self._is_full:
                self._is_full = False
                self._on_full(False)  # noqa: FBT003 - not full
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._closing.wait()
