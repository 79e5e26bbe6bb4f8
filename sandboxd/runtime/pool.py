"""Blank sandboxes, made ahead of the jobs: each serves one and is destroyed, none is used twice.

Decides how many shall stand ready, by demand. Makes them one after another, behind the start of
the job that was in a hurry.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandboxd.errors import SandboxdError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandboxd.plan import SandboxPlan
    from sandboxd.runtime.sandbox import Sandbox

log = logging.getLogger("sandboxd.pool")

IDLE_SECONDS = 30.0
"""How long sandboxes stand ready that nobody asks for, beyond the floor."""


@dataclass(slots=True)
class _Shelf:
    """The blank sandboxes of one plan."""

    floor: int = 0
    wanted: int = 0
    was_taken: bool = False
    """Whether one was, since we last looked."""
    blanks: deque[Sandbox] = field(default_factory=deque)


class Pool:
    """Keeps up to `ceiling` blank sandboxes of each plan; with none, makes them on demand."""

    def __init__(
        self,
        make: Callable[[SandboxPlan], Awaitable[Sandbox]],
        remove: Callable[[Sandbox], Awaitable[None]],
        ceiling: int,
    ) -> None:
        """Take what makes a sandbox and what destroys one; both may take their time."""
        self._make = make
        self._remove = remove
        self._ceiling = ceiling
        self._shelves: dict[SandboxPlan, _Shelf] = {}
        self._refilling: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def ready_count(self) -> int:
        """Tell how many stand ready."""
        return sum(len(shelf.blanks) for shelf in self._shelves.values())

    def keep_ready(self, plan: SandboxPlan, floor: int) -> None:
        """Have so many of this plan ready at any time, from now on."""
        shelf = self._shelf(plan)
        shelf.floor = min(floor, self._ceiling)
        shelf.wanted = max(shelf.wanted, shelf.floor)
        self._refill_soon()

    async def take(self, plan: SandboxPlan) -> Sandbox:
        """Give a blank sandbox, which is the caller's to destroy; made now if none stands ready.

        Raises:
            SandboxdError: it cannot be made.

        """
        shelf = self._shelf(plan)
        shelf.was_taken = True
        while shelf.blanks:
            sandbox = shelf.blanks.popleft()
            if sandbox.is_alive:
                self._refill_soon()
                with suppress(SandboxdError):  # it is removed, and the next one tried
                    return await self._furnished(sandbox)
            else:
                await self._remove(sandbox)  # it died with its zygote
        shelf.wanted = min(max(1, 2 * shelf.wanted), self._ceiling)
        self._refill_soon()
        return await self._furnished(await self._make(plan))

    async def flush(self) -> None:
        """Destroy all that stand ready: what made them is suspect."""
        for shelf in self._shelves.values():
            await self._clear(shelf, 0)

    async def close(self) -> None:
        """Destroy all that stand ready, and make no more."""
        self._ceiling = 0
        for task in (self._refilling, self._watching):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        await self.flush()

    async def _furnished(self, sandbox: Sandbox) -> Sandbox:
        """Give a sandbox once its init is ready for a job."""
        try:
            await sandbox.furnished()
        except BaseException:
            await self._remove(sandbox)
            raise
        return sandbox

    def _shelf(self, plan: SandboxPlan) -> _Shelf:
        return self._shelves.setdefault(plan, _Shelf())

    def _refill_soon(self) -> None:
        if self._ceiling and (self._refilling is None or self._refilling.done()):
            self._refilling = asyncio.create_task(self._refill(), name="pool-refill")
        if self._ceiling and self._watching is None:
            self._watching = asyncio.create_task(self._shrink(), name="pool-shrink")

    async def _refill(self) -> None:
        await asyncio.sleep(0)  # the job that took one is started first
        while (short := self._short()) is not None:
            try:
                self._shelves[short].blanks.append(await self._make(short))
            except SandboxdError as error:  # whoever needs one next is told by their own attempt
                log.warning("cannot make a sandbox ahead: %s", type(error).__name__)
                return

    def _short(self) -> SandboxPlan | None:
        """Name a plan of which fewer stand ready than are wanted."""
        short = (p for p, shelf in self._shelves.items() if len(shelf.blanks) < shelf.wanted)
        return next(short, None)

    async def _shrink(self) -> None:
        """Let go, from time to time, of what nobody asked for."""
        while True:
            await asyncio.sleep(IDLE_SECONDS)
            for shelf in self._shelves.values():
                if not shelf.was_taken:
                    shelf.wanted = shelf.floor
                    await self._clear(shelf, shelf.floor)
                shelf.was_taken = False

    async def _clear(self, shelf: _Shelf, count: int) -> None:
        while len(shelf.blanks) > count:
            await self._remove(shelf.blanks.popleft())
