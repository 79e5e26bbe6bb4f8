"""The queue: bounded, fair between tenants, and no slot is ever lost or given twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import Busy, HostError
from sandboxd.model.caller import WHOLE, Share
from sandboxd.server.admission import (
    MAX_RETRY_AFTER,
    MAX_WAITING_BYTES,
    MIN_RETRY_AFTER,
    Admission,
)


class Visitors:
    """Tasks that take a slot each, note their turn, and leave when they are told."""

    def __init__(self, admission: Admission, **shares: Share) -> None:
        """Take the queue to come to, and the shares of tenants who have one."""
        self.admission = admission
        self.shares = shares
        self.turns: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        """Let visitors come in this order; a name is its tenant, a digit, its memory: `a1`."""
        for name in names:
            self._leave[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._visit(name))
        await settle()

    async def leave(self, name: str) -> None:
        """Let one give its slot back."""
        self._leave[name].set()
        await self._tasks.pop(name)
        await settle()

    async def cancel(self, name: str) -> None:
        """Cancel one, wherever it is."""
        task = self._tasks.pop(name)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def _visit(self, name: str) -> None:
        share = self.shares.get(name[0], WHOLE)
        memory_bytes = int(name[2:] or 0)
        async with self.admission.slot(name[0], share=share, memory_bytes=memory_bytes):
            self.turns.append(name)
            await self._leave[name].wait()


async def settle() -> None:
    """Let every task run as far as it can without anything from outside."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_at_most_slot_count_hold_a_slot() -> None:
    visitors = Visitors(Admission(2, 10))
    await visitors.come("a1", "a2", "a3")
    assert visitors.turns == ["a1", "a2"]
    assert (visitors.admission.held_count, visitors.admission.waiting_count) == (2, 1)
    await visitors.leave("a1")
    assert visitors.turns == ["a1", "a2", "a3"]
    await visitors.leave("a2")
    await visitors.leave("a3")
    assert (visitors.admission.held_count, visitors.admission.waiting_count) == (0, 0)


async def test_tenants_are_served_in_turn_and_each_in_its_order() -> None:
    visitors = Visitors(Admission(1, 10))
    await visitors.come("a0", "a1", "a2", "a3", "b1", "b2", "c1")
    for _ in range(7):
        await visitors.leave(visitors.turns[-1])
    assert visitors.turns == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_tenant_that_comes_back_stands_behind_those_who_wait() -> None:
    visitors = Visitors(Admission(1, 10))
    await visitors.come("a0", "a1", "b1", "b2")
    await visitors.leave("a0")
    await visitors.come("a2")
    for name in ("a1", "b1", "a2", "b2"):
        await visitors.leave(name)
    assert visitors.turns == ["a0", "a1", "b1", "a2", "b2"]


async def test_beyond_the_queue_everyone_is_turned_away_with_a_time_to_retry() -> None:
    visitors = Visitors(Admission(1, 2))
    await visitors.come("a1", "a2", "b1")
    with pytest.raises(Busy) as caught:
        await visitors.admission.slot("c").__aenter__()
    assert MIN_RETRY_AFTER <= caught.value.retry_after <= MAX_RETRY_AFTER
    assert (visitors.admission.held_count, visitors.admission.waiting_count) == (1, 2)
    for name in ("a1", "a2", "b1"):
        await visitors.leave(name)


async def test_without_a_queue_a_free_slot_is_still_given() -> None:
    admission = Admission(1, 0)
    async with admission.slot("a") as queue_time:
        assert queue_time < timedelta(seconds=1)
        with pytest.raises(Busy):
            await admission.slot("b").__aenter__()
    async with admission.slot("b"):
        assert admission.held_count == 1


async def test_a_cancelled_waiter_leaves_no_trace() -> None:
    visitors = Visitors(Admission(1, 2))
    await visitors.come("a1", "b1", "c1")
    await visitors.cancel("b1")
    assert visitors.admission.waiting_count == 1
    await visitors.leave("a1")
    await visitors.leave("c1")
    assert visitors.turns == ["a1", "c1"]
    assert (visitors.admission.held_count, visitors.admission.waiting_count) == (0, 0)


async def test_a_waiter_cancelled_in_the_moment_of_its_turn_passes_the_slot_on() -> None:
    visitors = Visitors(Admission(1, 2))
    async with visitors.admission.slot("a"):
        await visitors.come("b1", "c1")
    await visitors.cancel("b1")  # its turn has come, but it has not run since
    await settle()
    assert visitors.turns == ["c1"]
    await visitors.leave("c1")
    assert (visitors.admission.held_count, visitors.admission.waiting_count) == (0, 0)


async def test_a_holder_cancelled_or_failed_frees_its_slot() -> None:
    visitors = Visitors(Admission(1, 2))
    await visitors.come("a1", "b1")
    await visitors.cancel("a1")
    await settle()
    assert visitors.turns == ["a1", "b1"]
    await visitors.leave("b1")
    with pytest.raises(ZeroDivisionError):
        async with visitors.admission.slot("c"):
            raise ZeroDivisionError
    assert visitors.admission.held_count == 0


async def test_draining_serves_all_who_were_admitted_and_refuses_the_rest() -> None:
    visitors = Visitors(Admission(1, 5))
    await visitors.come("a1", "b1")
    drained = asyncio.create_task(visitors.admission.drain())
    await settle()
    with pytest.raises(HostError) as caught:
        await visitors.admission.slot("c").__aenter__()
    assert caught.value.reason == "DRAINING"
    await visitors.leave("a1")
    assert not drained.done()
    await visitors.leave("b1")
    await drained
    assert visitors.turns == ["a1", "b1"]


async def test_an_idle_queue_is_drained_at_once() -> None:
    await Admission(1, 0).drain()


async def test_many_tasks_that_come_and_are_cancelled_lose_no_slot() -> None:
    admission = Admission(3, 1000)
    most = 0

    async def visit(number: int) -> None:
        nonlocal most
        async with admission.slot(f"tenant-{number % 7}"):
            most = max(most, admission.held_count)
            for _ in range(number % 5):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(visit(number)) for number in range(500)]
    for number in range(0, 500, 3):
        await asyncio.sleep(0)
        tasks[number * 7 % 500].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 3
    assert (admission.held_count, admission.waiting_count) == (0, 0)


async def test_requests_wait_only_while_they_fit_into_memory() -> None:
    admission = Admission(slot_count=1, queue_length=8)
    async with admission.slot("a"):
        first = asyncio.create_task(_held(admission, MAX_WAITING_BYTES - 1))
        await settle()
        assert admission.waiting_count == 1
        with pytest.raises(Busy, match="bytes of requests are waiting"):
            async with admission.slot("b", 2):
                pass
        second = asyncio.create_task(_held(admission, 1))
        await settle()
        assert admission.waiting_count == 2
    await asyncio.gather(first, second)
    assert admission.held_count == 0


async def _held(admission: Admission, size_bytes: int) -> None:
    async with admission.slot("a", size_bytes):
        pass


# --- shares ---------------------------------------------------------------------------------------


async def test_a_tenant_with_all_its_slots_is_passed_over() -> None:
    visitors = Visitors(Admission(3, 10), a=Share(slots=1))
    await visitors.come("a1", "a2", "a3", "b1", "b2")
    assert visitors.turns == ["a1", "b1", "b2"]
    await visitors.leave("b1")
    assert visitors.admission.waiting_count == 2, "a slot is free, but not for a"
    await visitors.come("c1")
    assert visitors.turns[-1] == "c1", "who comes later takes it"
    await visitors.leave("a1")
    assert visitors.turns[-1] == "a2"
    await visitors.leave("a2")
    assert visitors.turns[-1] == "a3"
    for name in ("a3", "b2", "c1"):
        await visitors.leave(name)
    assert (visitors.admission.held_count, visitors.admission.waiting_count) == (0, 0)


async def test_a_tenants_memory_is_the_sum_of_what_it_holds() -> None:
    visitors = Visitors(Admission(9, 9), a=Share(memory_bytes=100))
    await visitors.come("a1060", "a2040", "a3001", "b1999")
    assert visitors.turns == ["a1060", "a2040", "b1999"]
    await visitors.leave("a2040")
    assert visitors.turns[-1] == "a3001"


async def test_inside_a_tenant_a_small_one_does_not_overtake_a_large_one() -> None:
    visitors = Visitors(Admission(9, 9), a=Share(memory_bytes=100))
    await visitors.come("a1060", "a2050", "a3001")
    assert visitors.turns == ["a1060"]
    await visitors.cancel("a2050")
    await settle()
    assert visitors.turns == ["a1060", "a3001"], "who held it up has left"


async def test_a_tenant_that_holds_nothing_always_may() -> None:
    visitors = Visitors(Admission(1, 9), a=Share(memory_bytes=1))
    await visitors.come("a1999")
    assert visitors.turns == ["a1999"]


async def test_beyond_its_places_a_tenant_is_turned_away_and_others_are_not() -> None:
    visitors = Visitors(Admission(1, 10), a=Share(queue_places=1))
    await visitors.come("a1", "a2")
    with pytest.raises(Busy) as caught:
        await visitors.admission.slot("a", share=Share(queue_places=1)).__aenter__()
    assert caught.value.reason == "SHARE_EXHAUSTED"
    assert MIN_RETRY_AFTER <= caught.value.retry_after <= MAX_RETRY_AFTER
    await visitors.come("b1")
    assert visitors.admission.waiting_count == 2
    for name in ("a1", "a2", "b1"):
        await visitors.leave(name)


async def test_a_full_queue_is_told_from_a_full_share() -> None:
    visitors = Visitors(Admission(1, 1))
    await visitors.come("a1", "a2")
    with pytest.raises(Busy) as caught:
        await visitors.admission.slot("b").__aenter__()
    assert caught.value.reason == "QUEUE_FULL"


async def test_draining_waits_for_those_whom_their_share_holds_back() -> None:
    visitors = Visitors(Admission(3, 10), a=Share(slots=1))
    await visitors.come("a1", "a2")
    drained = asyncio.create_task(visitors.admission.drain())
    await settle()
    await visitors.leave("a1")
    assert not drained.done()
    await visitors.leave("a2")
    await drained
    assert visitors.turns == ["a1", "a2"]


async def test_who_needs_several_slots_has_them_all_at_once_and_in_turn() -> None:
    admission = Admission(3, 10)
    order: list[str] = []

    async def hold(name: str, tenant: str, until: asyncio.Event, count: int = 1) -> None:
        async with admission.slot(tenant, count=count):
            order.append(name)
            await until.wait()

    first, rest = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.ensure_future(hold("one", "a", first))]
    tasks += [asyncio.ensure_future(hold("two", "b", first))]
    await settle()
    tasks += [asyncio.ensure_future(hold("three of c", "c", rest, count=3))]
    await settle()
    tasks += [asyncio.ensure_future(hold("later", "d", rest))]
    await settle()
    assert order == ["one", "two"], "the free slot is kept for who waits for three"
    assert admission.waiting_count == 4
    first.set()
    await settle()
    assert order == ["one", "two", "three of c"]
    assert admission.held_count == 3
    rest.set()
    await asyncio.gather(*tasks)
    assert order[-1] == "later"
    assert admission.held_count == admission.waiting_count == 0


async def test_who_waits_for_its_own_slots_holds_nobody_up() -> None:
    admission = Admission(2, 10)
    async with admission.slot("a"):
        group = asyncio.ensure_future(_held_by(admission, "a", 2))
        await settle()
        async with asyncio.timeout(1), admission.slot("b"):
            pass
        assert not group.done()
    async with asyncio.timeout(1):
        await group


async def test_a_cancelled_wish_for_several_slots_lets_the_others_go_on() -> None:
    admission = Admission(2, 10)
    async with admission.slot("a"):
        group = asyncio.ensure_future(_held_by(admission, "b", 2))
        await settle()
        other = asyncio.ensure_future(_held_by(admission, "c", 1))
        await settle()
        assert not other.done()
        group.cancel()
        async with asyncio.timeout(1):
            await other
    assert admission.held_count == 0


async def test_inside_a_tenant_the_highest_priority_comes_first() -> None:
    admission = Admission(1, 10)
    order: list[int] = []

    async def hold(priority: int) -> None:
        async with admission.slot("a", priority=priority):
            order.append(priority)

    async with admission.slot("b"):
        tasks = [asyncio.ensure_future(hold(priority)) for priority in (0, 5, -5, 5)]
        await settle()
    await asyncio.gather(*tasks)
    assert order == [5, 5, 0, -5]


async def test_who_is_bounded_elsewhere_takes_no_place() -> None:
    admission = Admission(1, 1)
    async with admission.slot("a"):
        waiting = [
            asyncio.ensure_future(_held_by(admission, "a", 1, is_bounded_elsewhere=True))
            for _ in range(5)
        ]
        waiting.append(asyncio.ensure_future(_held_by(admission, "a", 1)))
        await settle()
        with pytest.raises(Busy):
            await _held_by(admission, "a", 1)
    await asyncio.gather(*waiting)


async def _held_by(
    admission: Admission, tenant: str, count: int, *, is_bounded_elsewhere: bool = False
) -> None:
    async with admission.slot(tenant, count=count, is_bounded_elsewhere=is_bounded_elsewhere):
        pass


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.booleans()), max_size=40),
    st.integers(1, 3),
)
def test_no_share_is_ever_passed_and_nobody_waits_for_nothing(
    comers: list[tuple[str, int, bool]], slots: int
) -> None:
    asyncio.run(_storm(comers, Share(slots=slots, memory_bytes=100)))


async def _storm(comers: list[tuple[str, int, bool]], share: Share) -> None:
    admission = Admission(4, 1000)
    held: dict[str, list[int]] = {"a": [], "b": []}

    async def visit(tenant: str, memory_bytes: int) -> None:
        async with admission.slot(tenant, share=share, memory_bytes=memory_bytes):
            held[tenant].append(memory_bytes)
            try:
                assert len(held[tenant]) <= (share.slots or 0)
                assert sum(held[tenant]) <= (share.memory_bytes or 0)
                for _ in range(memory_bytes % 5):
                    await asyncio.sleep(0)
            finally:
                held[tenant].remove(memory_bytes)

    tasks = [asyncio.create_task(visit(tenant, size)) for tenant, size, _ in comers]
    for task, (_, size, leaves) in zip(tasks, comers, strict=True):
        if leaves:
            for _ in range(size % 3):
                await asyncio.sleep(0)
            task.cancel()
    async with asyncio.timeout(10):  # whom nobody serves would wait without end
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ended)
    assert (admission.held_count, admission.waiting_count) == (0, 0)
