"""Shared jobs spread out, exclusive ones are alone, and everybody's turn comes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import PreconditionError
from sandboxd.runtime.processors import Processors

FOUR = (0, 1, 2, 3)


def asked(processors: Processors, count: int, **how: bool) -> asyncio.Task[object]:
    return asyncio.ensure_future(processors.take(count, **how))


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_shared_jobs_take_the_processors_that_the_fewest_jobs_run_on() -> None:
    processors = Processors((0, 1))
    assert [await processors.take(1) for _ in range(4)] == [(0,), (1,), (0,), (1,)]
    processors.give_back((1,))
    assert await processors.take(1) == (1,)


async def test_no_shared_job_runs_on_a_processor_that_is_somebodys_own() -> None:
    processors = Processors(FOUR)
    assert await processors.take(2, exclusive=True) == (2, 3)
    assert {await processors.take(1) for _ in range(6)} == {(0,), (1,)}
    processors.give_back((2, 3))
    assert await processors.take(1) == (2,)


async def test_an_exclusive_job_waits_until_a_processor_is_free() -> None:
    processors = Processors((0, 1))
    first, second = await processors.take(1), await processors.take(1)
    waiting = asked(processors, 1, exclusive=True)
    await settled()
    assert not waiting.done()
    processors.give_back(second)
    assert await waiting == second
    processors.give_back(first)


async def test_a_shared_job_waits_where_all_processors_are_owned() -> None:
    processors = Processors((0, 1))
    owned = await processors.take(2, exclusive=True)
    waiting = asked(processors, 1)
    await settled()
    assert not waiting.done()
    processors.give_back(owned)
    assert await waiting == (0,)


async def test_later_jobs_do_not_keep_a_waiting_one_from_its_turn() -> None:
    processors = Processors((0, 1))
    running = [await processors.take(1) for _ in range(2)]
    exclusive = asked(processors, 1, exclusive=True)
    await settled()
    for _ in range(100):  # a stream of shared jobs, never less than two at a time
        running.append(await processors.take(1))
        if exclusive.done():
            break
        processors.give_back(running.pop(0))
    await settled()
    assert exclusive.done()


async def test_jobs_go_on_beside_one_that_waits_for_other_processors() -> None:
    processors = Processors(FOUR)
    for _ in FOUR:
        await processors.take(1)
    waiting = asked(processors, 2, exclusive=True)
    await settled()
    assert {await processors.take(1) for _ in range(4)} == {(0,), (1,)}
    assert not waiting.done()
    waiting.cancel()


async def test_the_first_processors_can_be_kept_for_shared_jobs() -> None:
    processors = Processors((4, 5, 6), shared_count=1)
    assert await processors.take(2, exclusive=True) == (5, 6)
    waiting = asked(processors, 1, exclusive=True)
    await settled()
    assert await processors.take(1) == (4,)
    assert not waiting.done()
    waiting.cancel()


@pytest.mark.parametrize("came_first", [False, True])
async def test_who_is_cancelled_leaves_nothing_behind(*, came_first: bool) -> None:
    processors = Processors((0, 1))
    owned = await processors.take(2, exclusive=True)
    cancelled, behind = asked(processors, 2, exclusive=True), asked(processors, 2)
    await settled()
    if came_first:
        processors.give_back(owned)
        cancelled.cancel()  # its turn has come, but it has not noticed yet
    else:
        cancelled.cancel()
        processors.give_back(owned)
    assert await behind == (0, 1)
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    processors.give_back((0, 1))
    assert await processors.take(2, exclusive=True) == (0, 1)


@given(
    st.integers(1, 4),
    st.integers(0, 3),
    st.lists(
        st.tuples(st.integers(1, 4), st.booleans(), st.integers(0, 4), st.booleans()), max_size=20
    ),
)
def test_whatever_comes_everybody_has_a_turn_and_nobody_shares_what_is_owned(
    size: int, shared: int, jobs: list[tuple[int, bool, int, bool]]
) -> None:
    shared = min(shared, size - 1)
    processors = Processors(tuple(range(size)), shared)
    running: list[tuple[tuple[int, ...], bool]] = []

    async def run(count: int, turns: int, *, exclusive: bool) -> None:
        count = min(count, size - shared if exclusive else size)
        held = await processors.take(count, exclusive=exclusive)
        assert len(set(held)) == count
        assert not exclusive or min(held) >= shared
        for other, alone in running:
            assert not (exclusive or alone) or not set(held) & set(other)
        running.append((held, exclusive))
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
        finally:
            running.remove((held, exclusive))
            processors.give_back(held)

    async def run_all() -> None:
        tasks = []
        for count, exclusive, turns, is_cancelled in jobs:
            tasks.append(asyncio.ensure_future(run(count, turns, exclusive=exclusive)))
            await asyncio.sleep(0)
            if is_cancelled:
                tasks[len(tasks) // 2].cancel()
        for ended in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10):
            assert ended is None or isinstance(ended, asyncio.CancelledError), ended
        assert await processors.take(size) == tuple(range(size))

    asyncio.run(run_all())


async def test_who_keeps_some_for_long_takes_those_that_nobody_may_own() -> None:
    processors = Processors(FOUR, shared_count=1)
    assert await processors.take(1, keeps=True) == (0,)
    assert await processors.take(1, keeps=True) == (0,)
    assert await processors.take(2, keeps=True) == (0, 1)
    assert await processors.take(2, exclusive=True) == (2, 3)


async def test_what_others_keep_for_long_nobody_waits_for() -> None:
    processors = Processors((0, 1))
    busy = await processors.take(1)
    waiting = asked(processors, 2, exclusive=True)
    await settled()
    keeper = asked(processors, 1, keeps=True)
    await settled()
    assert not keeper.done(), "whoever waited before has its turn first"
    processors.give_back(busy)
    await settled()
    processors.give_back(await waiting)  # type: ignore[arg-type]  # its processors
    kept = await keeper
    with pytest.raises(PreconditionError, match="are left by sandboxes that stay"):
        await processors.take(2, exclusive=True)
    assert await processors.take(1)
    processors.give_back(kept, kept=True)  # type: ignore[arg-type]  # the same
