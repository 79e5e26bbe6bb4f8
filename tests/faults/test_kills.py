"""kill -9 of a launcher, a zygote or an init under load, again and again, at random moments.

`SANDBOXD_TEST_ROUNDS=500 scripts/test.sh faults -- -s -k killed` tells how all jobs ended.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
from house import PATIENCE, House, eventually
from leftovers import at_rest, children_of, kill, settled, zygote_of
from load import short, tasks

from sandboxd.errors import HostError, SandboxdError, StageError
from sandboxd.host import Settings
from sandboxd.identity import IdMode
from sandboxd.kernel.cgroups import Rung
from sandboxd.model.outcome import Exited, RunResult

if TYPE_CHECKING:
    from concurrent.futures import Future

    from load import Task

ROUNDS = int(os.environ.get("SANDBOXD_TEST_ROUNDS", "40"))
SEED = int(os.environ.get("SANDBOXD_TEST_SEED", str(time.time_ns())))
WITHIN = 0.2
"""Seconds from the start of the jobs to the kill, at most: until then most of them have ended."""


def victims_of(house: House, kind: str) -> list[int]:
    """Name the processes of a kind that live now; there may be none."""
    process = house.supervisor._nursery._process  # type: ignore[union-attr]  # noqa: SLF001 - it has been started
    found = [process.pid] if process is not None else []
    for _ in range(("launcher", "zygote", "init").index(kind)):
        found = [child for pid in found for child in children_of(pid)]
    return found


def kill_one(house: House, kind: str, chance: random.Random) -> bool:
    """Kill one process of a kind; tell whether there was any."""
    victims = victims_of(house, kind)
    return bool(victims) and kill(chance.choice(victims))


def start(house: House, task: Task) -> Future[RunResult]:
    return asyncio.run_coroutine_threadsafe(house.supervisor.run(task.job), house.loop)


def kind_of_end(task: Task, future: Future[RunResult]) -> str:
    """Tell how a job ended: right, by a fault of ours that has a name, or wrong."""
    try:
        result = future.result(PATIENCE)
    except (StageError, HostError) as error:
        return f"our fault: {error.reason}"
    except (SandboxdError, OSError) as error:
        return f"wrong: {error!r}"
    return "right" if task.is_right(result) else f"wrong: {result}"


@pytest.mark.parametrize("kind", ["launcher", "zygote", "init"])
def test_jobs_under_way_end_right_or_by_a_named_fault_when_a_helper_is_killed(
    own_house: House, kind: str
) -> None:
    print(f"seed {SEED}")  # noqa: T201 - what a failure is repeated with
    chance = random.Random(SEED)  # noqa: S311 - no secret
    before = at_rest(own_house)
    ends: Counter[str] = Counter()
    for _ in range(-(-ROUNDS // 3)):
        under_way = [(task, start(own_house, task)) for task in tasks(chance)]
        time.sleep(chance.uniform(0, WITHIN))  # a random moment is what this test is about
        ends["killed"] += kill_one(own_house, kind, chance)
        ends.update(kind_of_end(task, future) for task, future in under_way)
        assert own_house.run("/bin/true").ending == Exited(0)
        settled(own_house, before)
    print(f"{kind}: {dict(ends)}")  # noqa: T201 - the figures of a long run
    assert not [end for end in ends if end.startswith("wrong")], ends
    assert ends["right"]
    assert ends["killed"] > ROUNDS / 6


def test_all_helpers_killed_at_once_and_while_they_start_are_replaced(own_house: House) -> None:
    print(f"seed {SEED}")  # noqa: T201 - what a failure is repeated with
    chance = random.Random(SEED)  # noqa: S311 - no secret
    before = at_rest(own_house)
    for _ in range(-(-ROUNDS // 4)):
        under_way = [(task, start(own_house, task)) for task in tasks(chance)]
        for kind in chance.choices(["launcher", "zygote", "init"], k=3):
            time.sleep(chance.uniform(0, WITHIN / 3))  # a random moment, again
            kill_one(own_house, kind, chance)
        wrong = [
            end
            for task, future in under_way
            if (end := kind_of_end(task, future)).startswith("wrong")
        ]
        assert not wrong
        assert own_house.run("/bin/true").ending == Exited(0)
        settled(own_house, before)


def test_a_launcher_is_replaced_where_jobs_share_the_id_of_their_daemon(house: House) -> None:
    before = at_rest(house)
    with House(Settings(id_mode=IdMode.SINGLE, cgroup=Rung.NONE)) as own:
        for _ in range(3):
            kill(own.launcher())
            assert own.run("/bin/true").ending == Exited(0)
    settled(house, before)


def test_an_init_that_is_killed_at_its_birth_leaves_all_others_alone(own_house: House) -> None:
    place = own_house.supervisor._tree.unified  # noqa: SLF001 - nobody else knows it
    if place is None:
        pytest.skip(f"on rung {own_house.host.cgroup_rung} an init is not born in its cgroup")
    before = at_rest(own_house)
    zygote = zygote_of(own_house)
    other = own_house.start("/bin/sh", "-c", "echo; exec sleep 300")
    other.wait_for()
    ends: Counter[str] = Counter()
    for _ in range(-(-ROUNDS // 2)):
        task = short(1)
        known = set(os.listdir(place))
        os.kill(zygote, signal.SIGSTOP)
        future = start(own_house, task)
        eventually(partial(killers_in, place, known))
        (killer,) = killers_in(place, known)
        killer_fd = os.open(killer, os.O_WRONLY | os.O_CLOEXEC)  # while it is there for sure
        os.kill(zygote, signal.SIGCONT)
        kill_who_comes(killer_fd, future)
        ends[kind_of_end(task, future)] += 1
    print(f"at birth: {dict(ends)}")  # noqa: T201 - the figures of a long run
    assert set(ends) <= {"right", "our fault: SANDBOX_LOST", "our fault: STAGE_FAILED"}
    assert zygote_of(own_house) == zygote
    assert not other.future.done()
    other.cancel()
    settled(own_house, before)


def killers_in(place: str, known: set[str]) -> list[str]:
    """Name the files that kill the inits of sandboxes that are not known yet."""
    new = [f"{place}/{name}/cgroup.kill" for name in set(os.listdir(place)) - known]
    return [path for path in new if os.path.exists(path)]


def kill_who_comes(killer_fd: int, future: Future[RunResult]) -> None:
    """Kill whatever enters a cgroup, from its first moment, until the cgroup is gone."""
    try:
        with suppress(OSError):  # ENODEV
            while not future.done():
                os.write(killer_fd, b"1")
    finally:
        os.close(killer_fd)
