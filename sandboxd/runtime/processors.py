"""Which processors each job runs on: shared ones the least used first, or some for itself.

Decides, and lets wait. A job takes all of its processors at one moment and holds none while it
waits, so no two jobs can wait for one another. Whoever waits has claims: nobody who comes later is
put on a processor that it claims, so it waits only for jobs that came before it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from sandboxd.errors import PreconditionError


@dataclass(eq=False, slots=True)
class _Wish:
    """What a waiting job asks for, and the moment of its turn."""

    count: int
    exclusive: bool
    keeps: bool
    claim: frozenset[int]
    turn: asyncio.Future[tuple[int, ...]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Processors:
    """The processors of this host that jobs may run on. Belongs to one event loop."""

    def __init__(self, numbers: tuple[int, ...], shared_count: int = 0) -> None:
        """Take their numbers; the first `shared_count` are never one job's own."""
        self._users = dict.fromkeys(numbers, 0)
        self._ownable = frozenset(numbers[shared_count:])
        self._owned: set[int] = set()
        """Those that one job has for itself."""
        self._kept: Counter[int] = Counter()
        """Those that somebody has for long: no job can have them for itself meanwhile."""
        self._waiting: list[_Wish] = []

    async def take(
        self, count: int, *, exclusive: bool = False, keeps: bool = False
    ) -> tuple[int, ...]:
        """Give so many processors, once it is their turn; `give_back` follows.

        `count` is at most what there is: of ownable ones, if they shall be `exclusive`. Who `keeps`
        them for long gets those that no job can have for itself anyway, as far as they go.

        Raises:
            PreconditionError: others keep what this one would need for itself.

        """
        if exclusive:
            self._check(count)
        chosen = self._chosen(count, self._claimed(), exclusive=exclusive, keeps=keeps)
        if chosen:
            return self._hold(chosen, exclusive=exclusive, keeps=keeps)
        claim = self._claim(count, exclusive=exclusive)
        wish = _Wish(count, exclusive, keeps, claim)
        self._waiting.append(wish)
        try:
            return await wish.turn
        except asyncio.CancelledError:
            if wish.turn.cancelled():
                self._waiting.remove(wish)
                self._serve()
            else:  # cancelled after its turn had come, but before it could be used
                self.give_back(wish.turn.result())
            raise

    def give_back(self, numbers: tuple[int, ...], *, kept: bool = False) -> None:
        """Let others have them."""
        for number in numbers:
            self._users[number] -= 1
            self._kept[number] -= kept
        self._owned.difference_update(numbers)
        self._serve()

    def _serve(self) -> None:
        """Let those run who can, in the order in which they came."""
        claimed: frozenset[int] = frozenset()
        for wish in list(self._waiting):
            if wish.turn.cancelled():  # a moment ago: it forgets itself
                continue
            how = {"exclusive": wish.exclusive, "keeps": wish.keeps}
            chosen = self._chosen(wish.count, claimed, **how)
            if chosen:
                self._waiting.remove(wish)
                wish.turn.set_result(self._hold(chosen, **how))
            else:
                claimed |= wish.claim

    def _chosen(
        self, count: int, claimed: frozenset[int], *, exclusive: bool, keeps: bool
    ) -> tuple[int, ...]:
        """Choose among those that can be had now, the least used first; none if too few can."""
        if exclusive:  # from the end, where the host's own work is less likely
            free = [n for n in self._ownable if not self._users[n] and n not in claimed]
            free.sort(reverse=True)
        else:
            free = [n for n in self._users if n not in self._owned and n not in claimed]
            ownable = self._still_ownable() if keeps else ()
            free.sort(key=lambda number: (number in ownable, self._users[number], number))
        return tuple(sorted(free[:count])) if len(free) >= count else ()

    def _hold(self, numbers: tuple[int, ...], *, exclusive: bool, keeps: bool) -> tuple[int, ...]:
        for number in numbers:
            self._users[number] += 1
            self._kept[number] += keeps
        if exclusive:
            self._owned.update(numbers)
        return numbers

    def _claim(self, count: int, *, exclusive: bool) -> frozenset[int]:
        """Choose what to wait for: what nobody else claims, what is not owned, what few use."""
        claimed = self._claimed()
        candidates = self._still_ownable() if exclusive else self._users
        order = {n: (n in claimed, n in self._owned, self._users[n], -n) for n in candidates}
        return frozenset(sorted(order, key=order.__getitem__)[:count])

    def _still_ownable(self) -> frozenset[int]:
        """Name those that one job may have for itself, once the others on it have ended."""
        return frozenset(number for number in self._ownable if not self._kept[number])

    def _check(self, count: int) -> None:
        left = len(self._still_ownable())
        if count > left:
            raise PreconditionError(
                "EXCLUSIVE_CPUS_UNAVAILABLE",
                "exclusive_cpus",
                f"cannot give one job {count} processors of its own: {left} are left by sandboxes "
                "that stay",
                "ask for fewer (cpu_count), or again when such a sandbox has ended",
            )

    def _claimed(self) -> frozenset[int]:
        return frozenset().union(*(wish.claim for wish in self._waiting))
