"""Sandboxes made ahead are never-used ones: fresh for each job, and gone after it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from house import House, descendants, eventually, seconds

from sandboxd.host import Settings
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 4
FIRST_PROCESS = "2"
"""The pid of the first process that an init starts."""


@pytest.fixture(scope="module")
def pooled() -> Iterator[House]:
    """Give a supervisor that keeps sandboxes ready."""
    with House(Settings(pool_size=SIZE)) as house:
        house.loop.call_soon_threadsafe(house.supervisor.keep_ready, SIZE)
        until_full(house)
        yield house


def until_full(house: House) -> None:
    eventually(lambda: house.supervisor.ready_count == SIZE)


def zygote_of(house: House) -> int:
    (zygote,) = (pid for pid in descendants(house.launcher()) if _parent(pid) == house.launcher())
    return zygote


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_every_job_is_the_first_and_the_last_of_its_sandbox(pooled: House) -> None:
    script = "echo $$; ls -A /workspace /tmp /dev/shm | grep -c f; touch f /tmp/f /dev/shm/f"
    for _ in range(3 * SIZE):
        pid, left = pooled.shell(script).stdout.data.decode().split()
        assert (pid, left) == (FIRST_PROCESS, "0")


def test_jobs_at_once_beyond_the_pool_are_served_as_well(pooled: House) -> None:
    running = [pooled.start("/bin/sh", "-c", "echo $$") for _ in range(4 * SIZE)]
    results = [job.result() for job in running]
    assert [result.stdout.data.decode().strip() for result in results] == [FIRST_PROCESS] * 4 * SIZE
    assert len({result.ending for result in results}) == 1
    until_full(pooled)


def test_limits_hold_in_a_sandbox_made_before_they_were_known(pooled: House) -> None:
    until_full(pooled)
    limits = Limits(memory_bytes=32 * MIB, cpu_time=seconds(5))
    ending = pooled.python("x = b'x' * (100 << 20)", limits=limits).ending
    assert ending == LimitExceeded("memory_bytes")
    assert pooled.output("/usr/bin/nproc", limits=Limits(cpu_count=1.0)) == "1\n"


def test_a_killed_zygote_takes_those_that_stand_ready_and_no_job_notices(pooled: House) -> None:
    until_full(pooled)
    os.kill(zygote_of(pooled), signal.SIGKILL)
    for _ in range(SIZE):
        assert pooled.run("/bin/true").ending == Exited(0)
    until_full(pooled)


def test_leaving_destroys_those_that_stand_ready() -> None:
    with House(Settings(pool_size=SIZE)) as house:
        house.loop.call_soon_threadsafe(house.supervisor.keep_ready, SIZE)
        until_full(house)
        below = descendants(house.launcher())
        assert len(below) == 1 + SIZE
    assert not [pid for pid in below if os.path.exists(f"/proc/{pid}")]


def test_without_a_pool_nothing_stands_ready(house: House) -> None:
    house.run("/bin/true")
    assert house.supervisor.ready_count == 0
