"""The next look is never later than the earliest moment at which a limit can be hit."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from sandboxd.model.limits import Limits
from sandboxd.runtime.deadlines import (
    FILL_RATE,
    LEAST_MEMORY_PAUSE,
    LEAST_PAUSE,
    Deadlines,
    cpu_pause,
    memory_pause,
)

if TYPE_CHECKING:
    import pytest

durations = st.timedeltas(timedelta(), timedelta(hours=1))
processors = st.integers(1, 256)
sizes = st.integers(0, 1 << 42)


def test_processor_time_runs_out_at_the_pace_of_all_processors() -> None:
    ten, four = timedelta(seconds=10), timedelta(seconds=4)
    assert cpu_pause(ten, four, 1) == 6
    assert cpu_pause(ten, four, 2) == 3
    assert cpu_pause(ten, ten, 1) == LEAST_PAUSE
    assert cpu_pause(ten, ten + timedelta(microseconds=1), 1) == 0


def test_memory_runs_out_at_the_pace_at_which_it_can_be_filled() -> None:
    assert memory_pause(FILL_RATE, 0, 1) == 1
    assert memory_pause(FILL_RATE, 0, 4) == 0.25
    assert memory_pause(100, 99, 1) == LEAST_MEMORY_PAUSE
    assert memory_pause(100, 101, 1) == 0


@given(durations, durations, processors)
def test_a_look_comes_in_time_and_never_spins(
    limit: timedelta, used: timedelta, count: int
) -> None:
    pause = cpu_pause(limit, used, count)
    if used > limit:
        assert pause == 0, "over the limit there is nothing to wait for"
    else:
        assert pause >= LEAST_PAUSE
        assert pause * count <= (limit - used).total_seconds() * 1.000001 + LEAST_PAUSE * count


@given(durations, durations, processors)
def test_looking_again_and_again_ends_soon(limit: timedelta, used: timedelta, count: int) -> None:
    looks = 0
    while (pause := cpu_pause(limit, used, count)) > 0:
        used += timedelta(seconds=pause * count) + timedelta(microseconds=1)
        looks += 1
    assert looks <= 2, "a program that uses all that it can is seen at the limit"


@given(sizes, sizes, processors)
def test_a_look_at_memory_comes_in_time_and_never_spins(limit: int, used: int, count: int) -> None:
    pause = memory_pause(limit, used, count)
    if used > limit:
        assert pause == 0
    else:
        assert pause >= LEAST_MEMORY_PAUSE
        assert pause * FILL_RATE * count <= (limit - used) * 1.000001 + (
            LEAST_MEMORY_PAUSE * FILL_RATE * count
        )


async def test_nobody_is_killed_before_the_time_by_a_loop_whose_timers_come_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def early(delay: float, *what: Any) -> asyncio.TimerHandle:
        return later(max(0, delay - 0.004), *what)

    monkeypatch.setattr(loop, "call_later", early)
    killed: asyncio.Future[str] = loop.create_future()
    deadlines = Deadlines(
        Limits(wall_time=timedelta(milliseconds=20)),
        1,
        killed.set_result,
        cpu_time=lambda: None,
        memory_bytes=lambda: None,
    )
    began = time.monotonic_ns()
    deadlines.start(began)
    assert await killed == "wall_time"
    assert time.monotonic_ns() - began >= 20_000_000
