"""Who waits for news of what: rung on one event loop, heard by whoever waits then."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Bells:
    """One bell for each name, as long as somebody listens."""

    def __init__(self) -> None:
        """Begin with none."""
        self._listening: dict[str, set[asyncio.Future[None]]] = {}

    def ring(self, name: str) -> None:
        """Wake all who listen to this one."""
        for future in self._listening.get(name, ()):
            if not future.done():
                future.set_result(None)

    def ring_all(self) -> None:
        """Wake everybody."""
        for name in self._listening:
            self.ring(name)

    def listen(self, name: str) -> asyncio.Future[None]:
        """Begin to listen: what rings from now on is heard by `heard`."""
        future = asyncio.get_running_loop().create_future()
        self._listening.setdefault(name, set()).add(future)
        return future

    async def heard(self, future: asyncio.Future[None], seconds: float) -> None:
        """Wait until it has rung, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await future

    def leave(self, name: str, future: asyncio.Future[None]) -> None:
        """Listen no more."""
        there = self._listening[name]
        there.discard(future)
        if not there:
            del self._listening[name]
