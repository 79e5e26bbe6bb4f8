"""The bounded queue before the sandboxes: so many jobs at once, so many waiting, tenants in turn.

Decides who runs next and who is turned away. Knows nothing of jobs, and never polls: a freed slot
goes straight to the waiter whose turn it is. A tenant that has its whole share is passed over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.errors import Busy, HostError
from sandboxd.model.caller import WHOLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandboxd.model.caller import Share

FIRST_GUESS = timedelta(seconds=1)
"""How long a slot is held, until one was."""
MIN_RETRY_AFTER = timedelta(milliseconds=100)
MAX_RETRY_AFTER = timedelta(seconds=30)
MAX_WAITING_BYTES = 512 << 20
"""What all waiting requests may hold in memory; a job alone may bring 72 MiB."""
WEIGHT = 0.2
"""Of the latest holding time in the moving average."""


@dataclass(eq=False, slots=True)
class _Wish:
    """What somebody asks for, and the moment of its turn."""

    tenant: str
    share: Share
    memory_bytes: int
    count: int = 1
    priority: int = 0
    has_place: bool = True
    """Whether it is one of those that wait in the queue."""
    turn: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(slots=True)
class _Held:
    """What one tenant has at the moment."""

    slots: int = 0
    memory_bytes: int = 0


class Admission:
    """At most `slot_count` holders at a time, at most `queue_length` waiting beyond them.

    Tenants that wait are served in turn, one wish each; inside one tenant the highest priority is
    served first, and of those the first come. None holds more than its share. Who needs several
    slots has them all at once: when it is its turn, all others wait until so many are free. Belongs
    to one event loop.
    """

    def __init__(self, slot_count: int, queue_length: int) -> None:
        """Take the bounds; both are counts, `slot_count` at least 1, `queue_length` at least 0."""
        self.slot_count = slot_count
        self.queue_length = queue_length
        self._held: dict[str, _Held] = {}
        """Of each tenant that holds a slot."""
        self._held_count = 0
        self._waiting: dict[str, deque[_Wish]] = {}
        """Never an empty queue; the tenant whose turn is next comes first."""
        self._waiting_bytes = 0
        self._gathers = False
        """Whether somebody whose turn it is waits for more slots than are free."""
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
        return sum(wish.count for queue in self._waiting.values() for wish in queue)

    @asynccontextmanager
    async def slot(  # noqa: PLR0913 - keywords, each of them one thing that matters to a turn
        self,
        tenant: str,
        size_bytes: int = 0,
        *,
        share: Share = WHOLE,
        memory_bytes: int = 0,
        count: int = 1,
        priority: int = 0,
        is_bounded_elsewhere: bool = False,
    ) -> AsyncIterator[timedelta]:
        """Hold a slot for the time of the context; gives the time that was spent in the queue.

        `size_bytes` is what the request holds in memory while it waits, `memory_bytes` what counts
        against the tenant's `share` while it has the slot. A tenant that holds nothing always may.
        `count` slots are held at once: no more than there are, and than the share has. Who sees to
        it that few wait (`is_bounded_elsewhere`) takes no place in the queue.

        Raises:
            Busy: as many wait already as may, or as much; try again after its `retry_after`.
            HostError: the server is draining (reason DRAINING).

        """
        clock = asyncio.get_running_loop().time
        asked = clock()
        wish = _Wish(tenant, share, memory_bytes, count, priority, not is_bounded_elsewhere)
        await self._take(wish, size_bytes)
        taken = clock()
        try:
            yield timedelta(seconds=taken - asked)
        finally:
            self._learn(timedelta(seconds=clock() - taken))
            self._free(wish)

    async def drain(self) -> None:
        """Refuse whoever comes from now on; return when all admitted before have ended."""
        self._draining = True
        await self._idle.wait()

    async def _take(self, wish: _Wish, size_bytes: int) -> None:
        if self._draining:
            raise HostError(
                "DRAINING", "cannot take another job: the server is draining", "ask another server"
            )
        is_free = self._has_free(wish) and not self._gathers
        if is_free and wish.tenant not in self._waiting and self._fits(wish):
            self._hold(wish)
            return
        if wish.has_place:
            self._check_room(wish, size_bytes)
        self._waiting_bytes += size_bytes
        self._waiting.setdefault(wish.tenant, deque()).append(wish)
        self._serve()  # others may be the ones that wait for their share
        try:
            await wish.turn
        except asyncio.CancelledError:
            if wish.turn.cancelled():
                self._forget(wish)
            else:  # cancelled after the slot was given, but before it could be used
                self._free(wish)
            raise
        finally:
            self._waiting_bytes -= size_bytes

    def _check_room(self, wish: _Wish, size_bytes: int) -> None:
        if self._places_taken() >= self.queue_length:
            raise Busy(
                f"cannot queue another job: {self.queue_length} are waiting, which is all that may",
                self._retry_after(self.slot_count),
            )
        if self._waiting_bytes + size_bytes > MAX_WAITING_BYTES:
            raise Busy(
                f"cannot queue another job: {self._waiting_bytes} bytes of requests are waiting, "
                f"and only {MAX_WAITING_BYTES} may",
                self._retry_after(self.slot_count),
            )
        places = wish.share.queue_places
        if places is not None and self._places_taken(wish.tenant) >= places:
            slots = min(wish.share.slots or self.slot_count, self.slot_count)
            busy = Busy(
                f"cannot queue another job: {places} of yours are waiting, which is your share",
                self._retry_after(slots),
            )
            busy.reason = "SHARE_EXHAUSTED"
            raise busy

    def _places_taken(self, tenant: str | None = None) -> int:
        queues = self._waiting.values() if tenant is None else [self._waiting.get(tenant, ())]
        return sum(wish.has_place for queue in queues for wish in queue)

    def _has_free(self, wish: _Wish) -> bool:
        return self._held_count + wish.count <= self.slot_count

    def _fits(self, wish: _Wish) -> bool:
        """Tell whether the tenant's share allows this, too."""
        held, share = self._held.get(wish.tenant), wish.share
        if held is None:
            return True
        memory_bytes = held.memory_bytes + wish.memory_bytes
        return (share.slots is None or held.slots + wish.count <= share.slots) and (
            share.memory_bytes is None or memory_bytes <= share.memory_bytes
        )

    def _hold(self, wish: _Wish) -> None:
        self._held_count += wish.count
        self._idle.clear()
        held = self._held.setdefault(wish.tenant, _Held())
        held.slots += wish.count
        held.memory_bytes += wish.memory_bytes

    def _free(self, wish: _Wish) -> None:
        """Put its slots back, for the waiter whose turn it is."""
        self._held_count -= wish.count
        held = self._held[wish.tenant]
        held.slots -= wish.count
        held.memory_bytes -= wish.memory_bytes
        if not held.slots:
            del self._held[wish.tenant]
        self._serve()
        if not self._held_count:
            self._idle.set()

    def _serve(self) -> None:
        """Give free slots to those whose turn it is."""
        self._gathers = False
        while self._held_count < self.slot_count and (wish := self._next()):
            self._hold(wish)
            wish.turn.set_result(None)

    def _next(self) -> _Wish | None:
        """Take the first in line of the first tenant that has not its whole share."""
        for tenant, queue in self._waiting.items():
            # One that was cancelled a moment ago is still here: it forgets itself.
            wishes = (wish for wish in queue if not wish.turn.cancelled())
            wish = max(wishes, key=lambda wish: wish.priority, default=None)
            if wish is None or not self._fits(wish):
                continue
            if not self._has_free(wish):
                if tenant in self._held:  # it waits for its own first, and nobody else does
                    continue
                self._gathers = True
                return None
            queue.remove(wish)
            del self._waiting[tenant]
            if queue:
                self._waiting[tenant] = queue  # behind all others
            return wish
        return None

    def _forget(self, wish: _Wish) -> None:
        queue = self._waiting[wish.tenant]
        queue.remove(wish)
        if not queue:
            del self._waiting[wish.tenant]
        self._serve()  # it may have been too large for its share, and kept those behind it waiting

    def _learn(self, held: timedelta) -> None:
        self._usual_time += (held - self._usual_time) * WEIGHT

    def _retry_after(self, slot_count: int) -> timedelta:
        """Guess when one place in the queue is free: the time in which one of the slots is."""
        expected = self._usual_time / slot_count
        return min(max(expected, MIN_RETRY_AFTER), MAX_RETRY_AFTER)
