"""The pool: what it gives is never given twice; it follows demand, and gives back what is idle."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from sandboxd.errors import StageError
from sandboxd.plan import SandboxPlan
from sandboxd.runtime import pool as pools
from sandboxd.runtime.pool import Pool

if TYPE_CHECKING:
    from sandboxd.runtime.sandbox import Sandbox

PLAN = SandboxPlan(root="host", proc_mode="subset")
OTHER = SandboxPlan(root="host", proc_mode="compat")


class Blank:
    """All that a pool knows of a sandbox; one that is `spoiled` was never furnished."""

    def __init__(self) -> None:
        self.is_alive = True
        self.is_spoiled = False

    async def furnished(self) -> None:
        await asyncio.sleep(0)
        if self.is_spoiled:
            raise StageError("sandbox", 2, "")


class Workshop:
    """Makes and removes blanks, and remembers; makes none while it is `broken`."""

    def __init__(self, ceiling: int) -> None:
        self.made: list[tuple[SandboxPlan, Blank]] = []
        self.removed: list[Blank] = []
        self.is_broken = False
        self.pool = Pool(self.make, self.remove, ceiling)

    async def make(self, plan: SandboxPlan) -> Sandbox:
        await asyncio.sleep(0)
        if self.is_broken:
            raise StageError("clone", 11, "")
        blank = Blank()
        self.made.append((plan, blank))
        return cast("Sandbox", blank)

    async def remove(self, sandbox: Sandbox) -> None:
        await asyncio.sleep(0)
        self.removed.append(cast("Blank", sandbox))

    async def until_ready(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.pool.ready_count != count:  # noqa: ASYNC110 - the pool tells nobody
                await asyncio.sleep(0)


async def test_no_sandbox_is_given_twice_and_each_is_somebodys_to_destroy() -> None:
    shop = Workshop(ceiling=3)
    given = []
    for _ in range(50):
        given += await asyncio.gather(*(shop.pool.take(PLAN) for _ in range(4)))
    await shop.pool.close()
    assert len({id(sandbox) for sandbox in given}) == 200
    left = [blank for _, blank in shop.made if blank not in given]
    assert left == shop.removed, "those that nobody took are destroyed by the pool, once"


async def test_a_taken_sandbox_is_replaced_and_demand_raises_the_count_to_the_ceiling() -> None:
    shop = Workshop(ceiling=3)
    shop.pool.keep_ready(PLAN, 1)
    await shop.until_ready(1)
    await shop.pool.take(PLAN)
    await shop.until_ready(1)
    await asyncio.gather(*(shop.pool.take(PLAN) for _ in range(10)))
    await shop.until_ready(3)
    await shop.pool.close()
    assert shop.pool.ready_count == 0


async def test_each_plan_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Workshop(ceiling=2)
    shop.pool.keep_ready(PLAN, 1)
    await shop.until_ready(1)
    other = await shop.pool.take(OTHER)
    assert [plan for plan, blank in shop.made if blank is other] == [OTHER]
    monkeypatch.undo()
    await shop.pool.close()


async def test_what_nobody_asks_for_is_given_back_down_to_the_floor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "IDLE_SECONDS", 0.01)
    shop = Workshop(ceiling=4)
    shop.pool.keep_ready(PLAN, 1)
    await asyncio.gather(*(shop.pool.take(OTHER) for _ in range(8)))
    await shop.until_ready(1)
    await shop.pool.close()


async def test_a_dead_blank_is_destroyed_and_not_given() -> None:
    shop = Workshop(ceiling=2)
    shop.pool.keep_ready(PLAN, 2)
    await shop.until_ready(2)
    dead = [blank for _, blank in shop.made]
    for blank in dead:
        blank.is_alive = False
    fresh = await shop.pool.take(PLAN)
    assert fresh not in dead
    assert shop.removed == dead
    await shop.pool.close()


async def test_one_that_could_not_be_furnished_is_destroyed_and_the_next_one_given() -> None:
    shop = Workshop(ceiling=2)
    shop.pool.keep_ready(PLAN, 2)
    await shop.until_ready(2)
    spoiled, good = (blank for _, blank in shop.made)
    spoiled.is_spoiled = True
    assert await shop.pool.take(PLAN) is good
    assert shop.removed == [spoiled]
    await shop.pool.close()


async def test_whoever_leaves_while_one_is_furnished_leaves_none_behind() -> None:
    shop = Workshop(ceiling=0)
    taking = asyncio.create_task(shop.pool.take(PLAN))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it has been made, and is being furnished
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert len(shop.made) == 1
    assert shop.removed == [blank for _, blank in shop.made]


async def test_what_cannot_be_made_ahead_is_told_to_whoever_needs_it() -> None:
    shop = Workshop(ceiling=2)
    shop.is_broken = True
    shop.pool.keep_ready(PLAN, 2)
    with pytest.raises(StageError):
        await shop.pool.take(PLAN)
    shop.is_broken = False
    await shop.pool.take(PLAN)
    await shop.until_ready(2)
    await shop.pool.close()


async def test_without_a_ceiling_nothing_is_made_ahead() -> None:
    shop = Workshop(ceiling=0)
    await shop.pool.take(PLAN)
    await asyncio.sleep(0.01)
    assert len(shop.made) == 1
    await shop.pool.close()
