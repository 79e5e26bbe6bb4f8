"""kill -9 of a whole server, or of its helpers, under load: nothing is left, no slot is lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from house import SLOWNESS, House
from leftovers import children_of, dead_daemons, kill
from load import tasks
from post import (
    AT_ONCE,
    alive,
    daemon,
    descendants,
    eventually,
    marker,
    sleep_request,
    sleepers,
    stub_of,
)
from test_kills import ROUNDS, SEED, WITHIN

from sandboxd.client import Client
from sandboxd.errors import HostError, StageError
from sandboxd.model.outcome import Exited

if TYPE_CHECKING:
    from pathlib import Path

    from load import Task
    from post import Daemon

SLOTS = 4
PATIENCE = timedelta(seconds=60)
GONE = {"right", "our fault: UNREACHABLE", "our fault: UNAVAILABLE"}
"""How a job may end for a caller whose server is killed."""
LOST = {"right", "our fault: SANDBOX_LOST", "our fault: STAGE_FAILED"}
"""How one may end whose server lives."""


async def end_of(client: Client, task: Task) -> str:
    """Tell how a job ended for its caller: right, by a fault of ours that has a name, or wrong."""
    try:
        result = await client.run_job(task.job, timeout=PATIENCE)
    except (HostError, StageError) as error:
        return f"our fault: {error.reason}"
    return "right" if task.is_right(result) else f"wrong: {result}"


def helpers_of(server: Daemon, kind: str) -> list[int]:
    """Name the processes of a kind that a server has now."""
    found = [server.process.pid]
    for _ in range(("daemon", "launcher", "zygote", "init").index(kind)):
        found = [child for pid in found for child in children_of(pid)]
    return found


def none_of(known: dict[int, str]) -> bool:
    return not alive(known)


async def jobs_in_all_slots(served: Daemon) -> None:
    """Fill every slot at once: one that was lost would keep a job waiting."""
    seconds = marker()
    async with stub_of(served.unix) as stub:
        calls = [stub.Run(sleep_request(seconds)) for _ in range(SLOTS)]
        await eventually(lambda: len(sleepers(seconds)) == SLOTS)
        for call in calls:
            call.cancel()
        await eventually(lambda: not sleepers(seconds))


async def test_a_server_killed_under_load_leaves_nothing_and_the_next_one_is_fine(
    house: House, tmp_path: Path
) -> None:
    print(f"seed {SEED}")  # noqa: T201 - what a failure is repeated with
    chance = random.Random(SEED)  # noqa: S311 - no secret
    places = house.host.tree.paths.values()
    ends: Counter[str] = Counter()
    left = dead_daemons(places)
    for _ in range(-(-ROUNDS // 5)):
        with daemon(tmp_path, "--slots", str(SLOTS)) as served:
            async with Client(served.unix) as client:
                calls = [asyncio.create_task(end_of(client, task)) for task in tasks(chance)]
                await asyncio.sleep(chance.uniform(0, WITHIN))  # a random moment is the test
                below = descendants(served.process.pid)
                served.process.kill()
                await eventually(partial(none_of, below), AT_ONCE * SLOWNESS)
                ends.update(await asyncio.gather(*calls))
        await eventually(lambda: set(dead_daemons(places)) <= set(left))
    with daemon(tmp_path, "--slots", str(SLOTS)) as served:
        async with Client(served.unix) as client:
            assert (await client.run(["true"])).ending == Exited(0)
        await jobs_in_all_slots(served)
    print(f"daemon: {dict(ends)}")  # noqa: T201 - the figures of a long run
    assert set(ends) <= GONE, ends


@pytest.mark.usefixtures("house")
async def test_a_server_whose_helpers_are_killed_under_load_keeps_all_its_slots(
    tmp_path: Path,
) -> None:
    print(f"seed {SEED}")  # noqa: T201 - what a failure is repeated with
    chance = random.Random(SEED)  # noqa: S311 - no secret
    ends: Counter[str] = Counter()
    with daemon(tmp_path, "--slots", str(SLOTS), "--pool", "0") as served:
        async with Client(served.unix) as client:
            for _ in range(-(-ROUNDS // 4)):
                calls = [asyncio.create_task(end_of(client, task)) for task in tasks(chance)]
                await asyncio.sleep(chance.uniform(0, WITHIN))  # a random moment is the test
                kind = chance.choice(["launcher", "zygote", "init"])
                for victim in helpers_of(served, kind)[:1]:
                    kill(victim)
                ends.update(await asyncio.gather(*calls))
                assert (await client.run(["true"])).ending == Exited(0)
        await jobs_in_all_slots(served)
        helpers = len(["launcher", "zygote"])
        await eventually(lambda: len(descendants(served.process.pid)) == helpers)
        served.signal()
        assert await served.end() == 0
    print(f"helpers: {dict(ends)}")  # noqa: T201 - the figures of a long run
    assert set(ends) <= LOST, ends
