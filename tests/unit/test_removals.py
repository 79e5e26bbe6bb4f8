"""Sandboxes on their way out: each is killed at once, removed in its time, counted out once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from sandboxd.runtime import removals as rooms
from sandboxd.runtime import sandbox as sandboxes
from sandboxd.runtime.removals import Removals

if TYPE_CHECKING:
    from sandboxd.runtime.sandbox import Sandbox


class Leaving:
    """All that is asked of a sandbox that leaves: the kernel holds it for some looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.was_killed = False

    def kill(self) -> None:
        self.was_killed = True

    def let_go(self) -> bool:
        assert self.looks >= 0, "it was gone already"
        self.looks -= 1
        return self.looks < 0

    @property
    def as_sandbox(self) -> Sandbox:
        return cast("Sandbox", self)


class Counted:
    """How many are gone."""

    def __init__(self) -> None:
        self.count = 0
        self.removals = Removals(self.one_more)

    def one_more(self) -> None:
        self.count += 1

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.count != count:  # noqa: ASYNC110 - nobody tells of late ones
                await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "PAUSE", 0)
    monkeypatch.setattr(rooms, "LATE_PAUSE", 0)


async def test_each_is_killed_at_once_and_removed_when_the_kernel_lets_go() -> None:
    gone = Counted()
    leaving = [Leaving(looks) for looks in (0, 3, 1)]
    for one in leaving:
        gone.removals.add(one.as_sandbox)
        assert one.was_killed
    assert (gone.count, gone.removals.count) == (0, 3)
    await gone.removals.settled()
    assert (gone.count, gone.removals.count) == (3, 0)
    assert [one.looks for one in leaving] == [-1, -1, -1]


async def test_with_none_leaving_everything_is_settled() -> None:
    async with asyncio.timeout(5):
        await Counted().removals.settled()


async def test_one_that_is_held_too_long_is_told_of_and_removed_late(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sandboxes, "REMOVE_PATIENCE", 0)
    gone = Counted()
    gone.removals.add(Leaving(20).as_sandbox)
    await gone.removals.settled()
    assert (gone.count, gone.removals.count) == (0, 0), "nobody waits for it"
    await gone.until(1)
    assert caplog.text.count("the kernel holds") == 1
    gone.removals.add_late(Leaving(2).as_sandbox)
    await gone.until(2)


async def test_closing_waits_for_those_that_leave_and_gives_up_the_late_ones() -> None:
    gone = Counted()
    late = Leaving(1 << 30)
    gone.removals.add_late(late.as_sandbox)
    gone.removals.add(Leaving(3).as_sandbox)
    await gone.removals.close()
    assert gone.count == 1
    looks = late.looks
    await asyncio.sleep(0.01)
    assert late.looks == looks
