"""A prepared tree with the memory controller alone: each limit is held by what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from house import FORK_UNTIL_REFUSED, House, seconds

from sandboxd.kernel.cgroups import Rung
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        yield house


def test_each_limit_falls_to_the_next_mechanism_and_each_answer_says_so(house: House) -> None:
    assert house.host.tree.rung is Rung.V2
    assert house.host.tree.controllers == {"memory"}
    held = {row.limit: row.mechanism for row in house.run("/bin/true").outcome.enforced}
    assert held["memory_bytes"] == "cgroup2 memory.max"
    assert held["process_count"] == "rlimit NPROC"
    assert held["cpu_count"] == "affinity"
    assert {w.subject for w in house.host.weaknesses} == {"process_count", "cpu_count"}


def test_memory_is_held_by_the_cgroup(house: House) -> None:
    result = house.python("x = b'x' * (200 << 20)", limits=Limits(memory_bytes=64 * MIB))
    assert result.ending == LimitExceeded("memory_bytes")


def test_processes_and_time_are_held_without_one(house: House) -> None:
    result = house.python(FORK_UNTIL_REFUSED, limits=Limits(process_count=10))
    assert (result.ending, result.stdout.data) == (Exited(0), b"9 EAGAIN\n")
    spin = house.python("while True: pass", limits=Limits(cpu_time=seconds(0.5)))
    assert spin.ending == LimitExceeded("cpu_time")
