"""A job's own processors are nobody else's meanwhile, and everybody's turn comes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from house import House, seconds, wait_cancelled

from sandboxd.errors import PreconditionError
from sandboxd.host import Settings
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited

if TYPE_CHECKING:
    from house import Running

    from sandboxd.model.outcome import RunResult

LONG = Limits(wall_time=seconds(50))
TELL_AND_WAIT = """
import os, time
print(*sorted(os.sched_getaffinity(0)), flush=True)
time.sleep(50)
"""


def start(house: House, **fields: object) -> Running:
    """Start a job that tells its processors and lives until it is cancelled."""
    return house.start("/usr/bin/python3", "-I", "-c", TELL_AND_WAIT, **{"limits": LONG, **fields})


def end(*running: Running) -> None:
    for one in running:
        one.cancel()
    for one in running:
        wait_cancelled(one)


def mask(running: Running) -> set[int]:
    return set(map(int, running.wait_for().split()))


def entry(result: RunResult) -> str | None:
    found = {entry.limit: entry for entry in result.outcome.enforced}
    return found["exclusive_cpus"].value if "exclusive_cpus" in found else None


@pytest.fixture
def two(house: House) -> House:
    if house.host.processor_count < 2:
        pytest.skip("this host has one processor")
    return house


def test_the_processors_of_an_exclusive_job_are_nobody_elses(two: House) -> None:
    running = [
        start(two, exclusive_cpus=True),
        start(two),
        start(two),
    ]
    alone, *others = map(mask, running)
    assert len(alone) == 1
    assert all(len(other) == 1 and not other & alone for other in others)
    end(*running)


def test_two_exclusive_jobs_share_no_processor(two: House) -> None:
    running = [start(two, exclusive_cpus=True) for _ in range(2)]
    first, second = map(mask, running)
    assert not first & second
    end(*running)


def test_an_exclusive_job_waits_for_all_of_its_processors_and_the_wait_is_queue_time(
    two: House,
) -> None:
    before = start(two)
    mask(before)
    most = Limits(cpu_count=float(two.host.processor_count), wall_time=seconds(50))
    waiting = start(two, limits=most, exclusive_cpus=True)
    behind = two.start("/bin/true")
    two.do(asyncio.sleep(0))  # now both have asked
    asked = time.monotonic()
    before.cancel()
    assert mask(waiting) == set(two.host.processors)
    waited = time.monotonic() - asked
    end(waiting)
    result = behind.result()
    assert result.ending == Exited(0)
    assert result.usage.queue_time >= seconds(waited)
    wait_cancelled(before)


def test_an_exclusive_job_is_told_its_processors(house: House) -> None:
    result = house.python(
        "import os; print(*os.sched_getaffinity(0), sep=',', end='')", exclusive_cpus=True
    )
    assert entry(result) == result.stdout.data.decode()
    assert entry(house.run("/bin/true")) is None


def test_more_processors_of_its_own_than_there_are_is_refused_at_once(house: House) -> None:
    kept = house.host.processor_count
    with House(Settings(shared_cpu_count=kept)) as strict:
        with pytest.raises(PreconditionError, match="has 0 that a job may have for itself"):
            strict.run("/bin/true", exclusive_cpus=True)
        assert strict.run("/bin/true").ending == Exited(0)
