"""The bounded queue before the sandboxes: so many jobs at once, so many waiting, tenants in turn.

Decides who runs next and who is turned away. Knows nothing of jobs, and never polls: a freed slot
goes straight to the waiter whose turn it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.errors import Busy, HostError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FIRST_GUESS = timedelta(seconds=1)
"""How long a slot is held, until one was."""
MIN_RETRY_AFTER = timedelta(milliseconds=100)
MAX_RETRY_AFTER = timedelta(seconds=30)
MAX_WAITING_BYTES = 512 << 20
"""What all waiting requests may hold in memory; a job alone may bring 72 MiB."""
WEIGHT = 0.2
"""Of the latest holding time in the moving average."""


class Admission:
    """At most `slot_count` holders at a time, at most `queue_length` waiting beyond them.

    Tenants that wait are served in turn, one slot each; inside one tenant the first come is served
    first. Belongs to one event loop.
    """

    def __init__(self, slot_count: int, queue_length: int) -> None:
        """Take the bounds; both are counts, `slot_count` at least 1, `queue_length` at least 0."""
        self.slot_count = slot_count
        self.queue_length = queue_length
        self._held_count = 0
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Never an empty queue; the tenant whose turn is next comes first."""
        self._waiting_bytes = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._usual_time = FIRST_GUESS

    @property
    def held_count(self) -> int:
        """How many slots are held now."""
        return self._held_count

    @property
    def waiting_count(self) -> int:
        """How many wait for a slot now."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def slot(self, tenant: str, size_bytes: int = 0) -> AsyncIterator[timedelta]:
        """Hold a slot for the time of the context; gives the time that was spent in the queue.

        `size_bytes` is what the request holds in memory while it waits.

        Raises:
            Busy: as many wait already as may, or as much; try again after its `retry_after`.
            HostError: the server is draining (reason DRAINING).

        """
        clock = asyncio.get_running_loop().time
        asked = clock()
        await self._take(tenant, size_bytes)
        taken = clock()
        try:
            yield timedelta(seconds=taken - asked)
        finally:
            self._learn(timedelta(seconds=clock() - taken))
            self._free()

    async def drain(self) -> None:
        """Refuse whoever comes from now on; return when all admitted before have ended."""
        self._draining = True
        await self._idle.wait()

    async def _take(self, tenant: str, size_bytes: int) -> None:
        if self._draining:
            raise HostError(
                "DRAINING", "cannot take another job: the server is draining", "ask another server"
            )
        if self._held_count < self.slot_count:
            self._held_count += 1
            self._idle.clear()
            return
        if self.waiting_count >= self.queue_length:
            raise Busy(
                f"cannot queue another job: {self.queue_length} are waiting, which is all that may",
                self._retry_after(),
            )
        if self._waiting_bytes + size_bytes > MAX_WAITING_BYTES:
            raise Busy(
                f"cannot queue another job: {self._waiting_bytes} bytes of requests are waiting, "
                f"and only {MAX_WAITING_BYTES} may",
                self._retry_after(),
            )
        self._waiting_bytes += size_bytes
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(tenant, turn)
            else:  # cancelled after the slot was given, but before it could be used
                self._free()
            raise
        finally:
            self._waiting_bytes -= size_bytes

    def _free(self) -> None:
        """Hand the slot to the waiter whose turn it is, else put it back."""
        while self._waiting:
            tenant = next(iter(self._waiting))
            queue = self._waiting.pop(tenant)
            turn = queue.popleft()
            if queue:
                self._waiting[tenant] = queue  # behind all others
            if not turn.done():
                turn.set_result(None)
                return
        self._held_count -= 1
        if not self._held_count:
            self._idle.set()

    def _forget(self, tenant: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(tenant)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[tenant]

    def _learn(self, held: timedelta) -> None:
        self._usual_time += (held - self._usual_time) * WEIGHT

    def _retry_after(self) -> timedelta:
        """Guess when one place in the queue is free: the time in which one of the slots is."""
        expected = self._usual_time / self.slot_count
        return min(max(expected, MIN_RETRY_AFTER), MAX_RETRY_AFTER)
