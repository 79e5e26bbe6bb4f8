"""How many blobs may be on their way at once, as each takes descriptors; and none stands still."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sandboxd.errors import Busy, StreamIdle
from sandboxd.model.limits import stream_count

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")

MAX_STREAMS_OF_ONE = 64
RETRY_AFTER = timedelta(seconds=1)
IDLE_SECONDS = 60.0
"""In which a caller must send or take something."""


class Streams:
    """Counts what is on its way now, by tenant."""

    def __init__(self, what: str = "blobs") -> None:
        """Begin with nothing; `what` is said to be on its way."""
        self._what = what
        self._counts: Counter[str] = Counter()
        self._left: Counter[str] = Counter()
        """Calls that have ended for us, but whose end their callers do not take."""

    @contextmanager
    def one_more(self, tenant: str) -> Iterator[None]:
        """Count one while the context lasts.

        Raises:
            Busy: there are as many as may be, of this tenant or of all (reason STREAMS_EXHAUSTED).

        """
        own = self._counts[tenant] + self._left[tenant]
        most = stream_count(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if own >= MAX_STREAMS_OF_ONE or self._counts.total() >= most:
            busy = Busy(
                f"cannot send or take more {self._what} at once: one caller has "
                f"{MAX_STREAMS_OF_ONE} at most, all together {most}",
                RETRY_AFTER,
            )
            busy.reason = "STREAMS_EXHAUSTED"
            raise busy
        self._counts[tenant] += 1
        try:
            yield
        finally:
            _one_less(self._counts, tenant)

    async def send(self, message: object, tenant: str, context: Context) -> None:
        """Send one message.

        Raises:
            StreamIdle: the caller does not take it. Until it takes the end of the call, or is gone,
                the call is one of its own, though not of all: gRPC keeps what was not taken.

        """
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await context.write(message)
        except TimeoutError:
            self._left[tenant] += 1
            context.add_done_callback(lambda _: _one_less(self._left, tenant))  # type: ignore[arg-type]  # the stub wants a class
            text = f"cannot wait longer than {IDLE_SECONDS:g} s for the caller to take {self._what}"
            raise StreamIdle(text) from None


async def arriving(requests: AsyncIterator[T]) -> AsyncIterator[T]:
    """Give the messages of a stream.

    Raises:
        StreamIdle: the next one does not come.

    """
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                request = await anext(requests)
        except StopAsyncIteration:
            return
        except TimeoutError:
            text = f"cannot wait longer than {IDLE_SECONDS:g} s for the rest of the blob"
            raise StreamIdle(text) from None
        yield request


def _one_less(counts: Counter[str], tenant: str) -> None:
    counts[tenant] -= 1
    if not counts[tenant]:
        del counts[tenant]
