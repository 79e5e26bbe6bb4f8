"""Exact deadlines: no polling grid, but a look at the earliest moment at which a limit can be hit.

Decides when to look next. Does the looking and, once, the killing.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sandboxd.model.limits import Limits

LEAST_PAUSE = 0.001
"""Seconds between two looks, at the least; far below what a kernel's tick can tell apart."""
FILL_RATE = 8 << 30
"""Bytes per second and processor that a program can touch at most; it paces the watchdog."""
LEAST_MEMORY_PAUSE = 0.005
BLIND_PAUSE = 0.01
"""Seconds until the next look when one failed, as without a free descriptor."""


def cpu_pause(limit: timedelta, used: timedelta, processor_count: int) -> float:
    """Give the seconds until the limit can be reached at the earliest; 0 when it has been."""
    left = (limit - used).total_seconds()
    return max(left / processor_count, LEAST_PAUSE) if left >= 0 else 0


def memory_pause(limit: int, used: int, processor_count: int) -> float:
    """Give the seconds until so much memory can be filled at the earliest; 0 when it has been."""
    left = limit - used
    return max(left / (FILL_RATE * processor_count), LEAST_MEMORY_PAUSE) if left >= 0 else 0


class Deadlines:
    """Watches one program from its start to its end."""

    def __init__(
        self,
        limits: Limits,
        processor_count: int,
        kill: Callable[[str], None],
        *,
        cpu_time: Callable[[], timedelta | None],
        memory_bytes: Callable[[], int | None],
    ) -> None:
        """Take what tells the usage (None: cannot tell) and what kills for a limit, by name."""
        self._limits = limits
        self._processor_count = processor_count
        self._kill = kill
        self._cpu_time = cpu_time
        self._memory_bytes = memory_bytes
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._began_ns = 0

    def start(self, clock_ns: int) -> None:
        """Begin: `clock_ns` is the monotonic clock at the program's exec."""
        self._began_ns = min(clock_ns, time.monotonic_ns())
        self._look_at_wall_clock()
        self._look_at_cpu()
        self._look_at_memory()

    def stop(self) -> None:
        """Stop watching."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _hit(self, limit: str) -> None:
        self.stop()
        self._kill(limit)

    def _look_at_wall_clock(self) -> None:
        if self._limits.wall_time is not None:
            passed = (time.monotonic_ns() - self._began_ns) / 1e9
            left = self._limits.wall_time.total_seconds() - passed
            # Looked at again, because a loop that counts milliseconds comes early by part of one.
            pause = max(left, LEAST_PAUSE) if left > 0 else 0
            self._look_again("wall_time", pause, self._look_at_wall_clock)

    def _look_at_cpu(self) -> None:
        limit = self._limits.cpu_time
        try:
            used = self._cpu_time()
        except OSError:
            self._look_again("cpu_time", BLIND_PAUSE, self._look_at_cpu)
            return
        if limit is not None and used is not None:
            pause = cpu_pause(limit, used, self._processor_count)
            self._look_again("cpu_time", pause, self._look_at_cpu)

    def _look_at_memory(self) -> None:
        limit = self._limits.memory_bytes
        try:
            used = self._memory_bytes()
        except OSError:
            self._look_again("memory_bytes", BLIND_PAUSE, self._look_at_memory)
            return
        if limit is not None and used is not None:
            pause = memory_pause(limit, used, self._processor_count)
            self._look_again("memory_bytes", pause, self._look_at_memory)

    def _look_again(self, limit: str, pause: float, look: Callable[[], None]) -> None:
        if pause == 0:
            self._hit(limit)
        else:
            self._timers[limit] = asyncio.get_running_loop().call_later(pause, look)
