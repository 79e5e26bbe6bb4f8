"""Threads for what would keep the event loop waiting: disks. Few, so that little is under way.

There are none before root has been given up: the first starts with the first work.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

P = ParamSpec("P")
R = TypeVar("R")

THREAD_COUNT = 8


class Threads:
    """Does one thing after the other for each caller, whatever becomes of that one meanwhile."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._executor = ThreadPoolExecutor(THREAD_COUNT, "sandboxd-disk")
        self._had_count = 0
        self._nothing_had = asyncio.Event()
        self._nothing_had.set()

    async def do(self, work: Callable[P, R], *args: P.args, **keywords: P.kwargs) -> R:
        """Have `work` done, to its end even when the caller is cancelled; that follows then."""
        done, cancelled = await self._done(lambda: work(*args, **keywords))
        if cancelled is not None:
            done.exception()  # else asyncio says that nobody asked for it
            raise cancelled
        return done.result()

    @asynccontextmanager
    async def having(
        self, take: Callable[[], R], give_back: Callable[[R], None]
    ) -> AsyncIterator[R]:
        """Have what `take` gives while the context lasts; whatever happens it is given back."""
        self._had_count += 1
        self._nothing_had.clear()
        try:
            taken, cancelled = await self._done(take)
            if cancelled is not None and taken.exception() is not None:
                raise cancelled
            what = taken.result()
            try:
                if cancelled is not None:
                    raise cancelled
                yield what
            finally:
                await self.do(give_back, what)
        finally:
            self._had_count -= 1
            if not self._had_count:
                self._nothing_had.set()

    async def _done(
        self, work: Callable[[], R]
    ) -> tuple[asyncio.Future[R], asyncio.CancelledError | None]:
        """Give the work when it is done, and the cancellation that came meanwhile."""
        done = asyncio.get_running_loop().run_in_executor(self._executor, work)
        cancelled: asyncio.CancelledError | None = None
        while not done.done():
            try:
                await asyncio.wait((done,))
            except asyncio.CancelledError as error:
                cancelled = error
        return done, cancelled

    async def close(self) -> None:
        """Wait until everything is given back; nothing more may come."""
        await self._nothing_had.wait()
        self._executor.shutdown()
