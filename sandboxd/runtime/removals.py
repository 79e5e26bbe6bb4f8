"""Sandboxes whose program has ended, on their way out: killed already, removed behind the answer.

Decides when to look again. Looks at all of them at once, so that each costs no wake-up of its own.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sandboxd.runtime import sandbox as sandboxes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.runtime.sandbox import Sandbox

log = logging.getLogger("sandboxd.removals")

PAUSE = 0.005
"""Seconds from a sandbox's end to its removal: the kernel has mostly let go of it by then."""
LATE_PAUSE = 0.5
"""Seconds between two looks at those that the kernel has held for too long."""


class Removals:
    """Removes sandboxes in its own time; `gone` hears of each. Belongs to one event loop."""

    def __init__(self, gone: Callable[[], None]) -> None:
        """Begin with none."""
        self._gone = gone
        self._leaving: dict[Sandbox, float] = {}
        """With the moment from which each is late."""
        self._late: set[Sandbox] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self._settled.set()

    @property
    def count(self) -> int:
        """Tell how many are leaving, without those that are late."""
        return len(self._leaving)

    def add(self, sandbox: Sandbox) -> None:
        """Kill what is left of a sandbox, and remove it soon."""
        sandbox.kill()
        now = asyncio.get_running_loop().time()
        self._leaving[sandbox] = now + sandboxes.REMOVE_PATIENCE
        self._settled.clear()
        self._look_in(PAUSE)

    def add_late(self, sandbox: Sandbox) -> None:
        """Try on with a sandbox that could not be removed in time."""
        self._late.add(sandbox)
        self._look_in(LATE_PAUSE)

    async def settled(self) -> None:
        """Wait until none is leaving; those that are late are not waited for."""
        await self._settled.wait()

    async def close(self) -> None:
        """Wait until none is leaving, and give up those that are late."""
        await self.settled()
        self._late.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look_in(self, pause: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + pause:
                return
            self._timer.cancel()
        self._timer = loop.call_later(pause, self._look)

    def look(self) -> None:
        """Let go now of whatever the kernel has let go of."""
        for sandbox in [leaving for leaving in self._leaving if leaving.let_go()]:
            del self._leaving[sandbox]
            self._gone()
        if not self._leaving:
            self._settled.set()

    def _look(self) -> None:
        self._timer = None
        self.look()
        now = asyncio.get_running_loop().time()
        for sandbox in [held for held, late_from in self._leaving.items() if now >= late_from]:
            log.error("the kernel holds an ended sandbox; trying on")
            del self._leaving[sandbox]
            self._late.add(sandbox)
        for sandbox in [late for late in self._late if late.let_go()]:
            self._late.remove(sandbox)
            self._gone()
        if self._leaving:
            self._look_in(PAUSE)
        else:
            self._settled.set()
            if self._late:
                self._look_in(LATE_PAUSE)
