"""The lane of faults: real sandboxes, whose helpers, stages and means are taken away."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# The helpers of two other lanes are this lane's, too.
sys.path += [str(Path(__file__).resolve().parent.parent / lane) for lane in ("sandbox", "service")]

import broken
from house import House
from lane import house

from sandboxd.model.outcome import Exited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["house"]


@pytest.fixture
def own_house(house: House) -> Iterator[House]:
    """Give a supervisor of this test alone, to which anything may be done."""
    with House() as own:
        assert own.host.cgroup_rung == house.host.cgroup_rung
        assert own.run("/bin/true").ending == Exited(0)
        yield own


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give what makes a stage of this process's plans fail; an empty name ends that."""
    broken.install(monkeypatch.setattr)

    def fail(stage: str) -> None:
        monkeypatch.setenv(broken.VARIABLE, stage)

    return fail
