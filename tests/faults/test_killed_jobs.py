"""kill -9 while jobs wait and run: none is lost, none runs twice, none ends that has not ended.

`SANDBOXD_TEST_ROUNDS=200 scripts/test.sh faults -- -k killed_jobs` for more rounds.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from post import daemon
from test_kills import SEED

from sandboxd.client import Client
from sandboxd.errors import HostError
from sandboxd.model.job import Job
from sandboxd.model.stored import JobState, StoredJob

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = int(os.environ.get("SANDBOXD_TEST_ROUNDS", "5"))
SLOTS = 2
FRESH = 6
"""Jobs that are started in each round."""
WITHIN_SECONDS = 0.6
"""Of a server's life, from when it serves to the kill."""
SECRET = "s3cret-of-a-killed-job"  # noqa: S105 - of a test
PATIENCE = timedelta(seconds=30)


@dataclass
class Seen:
    """What has been acknowledged and told so far, over all servers."""

    ids: dict[str, str] = field(default_factory=dict)
    """Of each request's name."""
    ended: dict[str, StoredJob] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    """Those that were seen running by the server that was killed then."""


def text_of(name: str) -> bytes:
    return f"begun {name}\ndone {name}\n".encode()


def job_of(name: str, seconds: float) -> Job:
    script = f"echo begun {name}; sleep {seconds}; echo done {name}"
    return Job(argv=("sh", "-c", script), secret_env={"KEY": SECRET})


async def start(client: Client, seen: Seen, names: list[tuple[str, float]]) -> None:
    """Start jobs one after the other, each again until it is acknowledged."""
    with suppress(HostError):
        for name, seconds in names:
            job = await client.jobs.start(job_of(name, seconds), request_id=name)
            assert seen.ids.setdefault(name, job.id) == job.id


async def look(client: Client, seen: Seen) -> None:
    """Look at all jobs again and again, until the server is gone."""
    with suppress(HostError):
        while True:
            running = set()
            async for job in client.jobs.list(timeout=PATIENCE):
                known = seen.ended.get(job.id)
                assert known is None or known == job
                if job.state.is_over:
                    seen.ended[job.id] = job
                elif job.state is JobState.RUNNING:
                    running.add(job.id)
            seen.running |= running
            await asyncio.sleep(0.02)


async def check(client: Client, seen: Seen) -> None:
    """See that all is there, and what ran is not run again."""
    listed = {job.id: job async for job in client.jobs.list()}
    assert set(seen.ids.values()) <= set(listed)
    for job_id, job in seen.ended.items():
        assert listed[job_id] == job, "what was told as over stays so"
    for job_id in seen.running:
        assert listed[job_id].state in {JobState.ENDED, JobState.INTERRUPTED}
    seen.running.clear()


@pytest.mark.usefixtures("house")
async def test_kill_9_of_a_server_loses_no_job_and_runs_none_twice(tmp_path: Path) -> None:
    print(f"seed {SEED}")  # noqa: T201 - what a failure is repeated with
    chance = random.Random(SEED)  # noqa: S311 - no secret
    options = ("--jobs", str(tmp_path / "jobs"), "--slots", str(SLOTS))
    seen, names = Seen(), []
    for number in range(ROUNDS):
        names += [(f"{number}-{n}", chance.uniform(0, 0.2)) for n in range(FRESH)]
        with daemon(tmp_path, *options) as server:
            async with Client(server.unix) as client, Client(server.unix) as other:
                await check(client, seen)
                unsure = [each for each in names if each[0] not in seen.ids]
                work = [
                    asyncio.create_task(start(client, seen, unsure)),
                    asyncio.create_task(look(other, seen)),
                ]
                await asyncio.sleep(chance.uniform(0, WITHIN_SECONDS))  # the kill's own moment
                server.signal(signal.SIGKILL)
                await server.end()
                await asyncio.gather(*work)
    with daemon(tmp_path, *options) as server:
        async with Client(server.unix) as client:
            await check(client, seen)
            await start(client, seen, [each for each in names if each[0] not in seen.ids])
            ends = await ends_of(client, seen)
        server.signal()
        assert await server.end() == 0
    print(f"jobs: {dict(ends)}")  # noqa: T201 - the figures of a long run
    assert ends["ENDED"] >= len(names) - ROUNDS * SLOTS
    assert sum(ends.values()) == len(names)
    left = [p.name for p in (tmp_path / "jobs").rglob("*") if p.is_file() and has_secret(p)]
    assert left == []


@pytest.mark.usefixtures("house")
async def test_a_watcher_goes_on_over_a_kill_and_a_restart(tmp_path: Path) -> None:
    options = ("--jobs", str(tmp_path / "jobs"), "--slots", "1")
    heard: dict[str, bytes] = {}

    async def watch(client: Client, job_id: str, begun: asyncio.Event) -> None:
        async for piece in client.jobs.watch(job_id):
            heard[job_id] = heard.get(job_id, b"") + piece.data
            begun.set()

    with daemon(tmp_path, *options) as server:
        address = server.unix
        async with Client(address) as client:
            runs = await client.jobs.start(job_of("one", 60))
            waits = await client.jobs.start(job_of("two", 0))
            begun, later = asyncio.Event(), asyncio.Event()
            watching = [
                asyncio.create_task(watch(client, runs.id, begun)),
                asyncio.create_task(watch(client, waits.id, later)),
            ]
            await begun.wait()
            server.signal(signal.SIGKILL)
            await server.end()
            with daemon(tmp_path, *options):
                await asyncio.gather(*watching)
                states = [(await client.jobs.get(job.id)).state for job in (runs, waits)]
    assert states == [JobState.INTERRUPTED, JobState.ENDED]
    assert heard == {runs.id: b"begun one\n", waits.id: text_of("two")}


async def ends_of(client: Client, seen: Seen) -> Counter[str]:
    """Wait for all ends, compare each output, and count how they ended."""
    ends: Counter[str] = Counter()
    for name, job_id in seen.ids.items():
        output = b"".join([piece.data async for piece in client.jobs.watch(job_id)])
        job = await client.jobs.get(job_id)
        ends[job.state.name] += 1
        if job.state is JobState.ENDED:
            assert output == text_of(name), "it ran once"
        else:
            assert job.state is JobState.INTERRUPTED
            assert text_of(name).startswith(output)
            assert (job.outcome, await client.jobs.result(job_id)) == (None, None)
    listed = [job.id async for job in client.jobs.list()]
    assert sorted(listed) == sorted(seen.ids.values()), "one job for each request"
    return ends


def has_secret(path: Path) -> bool:
    return SECRET.encode() in path.read_bytes()
