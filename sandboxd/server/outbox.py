"""What waits for a caller to take it; above a bound whoever fills it is told to pause."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

T = TypeVar("T")

HIGH_BYTES = 1 << 20
MESSAGE_BYTES = 256
"""What a message takes in memory beside what it carries; many are small."""


class Outbox(Generic[T]):
    """Messages in turn, from one event loop to one reader on it."""

    def __init__(self, on_full: Callable[[bool], None], high_bytes: int = HIGH_BYTES) -> None:
        """Take what is told when too much waits (True), and when little does again (False)."""
        self.is_closed = False
        self.taken_count = 0
        """Of messages, so far."""
        self._on_full = on_full
        self._high_bytes = high_bytes
        self._waiting: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._is_full = False
        self._changed = asyncio.Event()

    def put(self, message: T, size_bytes: int = 0) -> None:
        """Add a message; never waits."""
        size_bytes += MESSAGE_BYTES
        self._waiting.append((message, size_bytes))
        self._bytes += size_bytes
        self._changed.set()
        if self._bytes > self._high_bytes and not self._is_full:
            self._is_full = True
            self._on_full(True)  # noqa: FBT003 - full

    def close(self) -> None:
        """Say that nothing more comes."""
        self.is_closed = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[T]:
        """Give all messages up to the last."""
        while True:
            while not self._waiting:
                if self.is_closed:
                    return
                self._changed.clear()
                await self._changed.wait()
            message, size_bytes = self._waiting.popleft()
            self._bytes -= size_bytes
            self.taken_count += 1
            if self._is_full and self._bytes <= self._high_bytes // 4:
                self._is_full = False
                self._on_full(False)  # noqa: FBT003 - not full
            yield message
