"""Jobs that outlive their caller, where several workers serve: each sees them all."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from jobs_kit import LONG, over, shell
from post import PATIENCE, daemon, eventually, marker, sleepers
from test_workers import PROCESSORS, children_of

from sandboxd.client import Client
from sandboxd.model.job import Job
from sandboxd.model.stored import JobState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from post import Daemon

    from sandboxd.model.stored import StoredJob

pytestmark = [
    pytest.mark.usefixtures("sandboxing_host"),
    pytest.mark.skipif(PROCESSORS < 2, reason="each worker needs a processor"),
]
TAKEN_OVER = [JobState.QUEUED, JobState.RUNNING, JobState.RUNNING, JobState.INTERRUPTED]
CLIENTS = 4
"""Connections, spread over two workers."""


@asynccontextmanager
async def crew(directory: Path, *options: str) -> AsyncIterator[tuple[Daemon, list[Client]]]:
    """Serve by two workers, and have connections to both."""
    options = ("--workers", "2", "--slots", "2", "--jobs", str(directory / "jobs"), *options)
    with daemon(directory, *options) as served:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(Client(served.unix)) for _ in range(CLIENTS)]
            for client in clients:
                await client.get_host()  # connects
            yield served, clients
        served.signal()
        await served.end()


async def begun(clients: list[Client]) -> list[StoredJob]:
    """Start a job by each connection; wait until as many run as may."""
    seconds = [marker() for _ in clients]
    jobs = [
        await client.jobs.start(Job(argv=("sleep", text), limits=LONG))
        for client, text in zip(clients, seconds, strict=True)
    ]
    await eventually(lambda: sum(bool(sleepers(text)) for text in seconds) == 2)
    return jobs


async def states_of(client: Client, jobs: list[StoredJob]) -> list[JobState]:
    return sorted([(await client.jobs.get(job.id)).state for job in jobs])


async def test_each_worker_knows_and_ends_the_jobs_of_all(tmp_path: Path) -> None:
    async with crew(tmp_path) as (_, clients):
        jobs = await begun(clients)
        for client in clients:
            assert {job.id async for job in client.jobs.list()} == {job.id for job in jobs}
        for number, job in enumerate(jobs):
            for client in clients:
                assert (await client.jobs.get(job.id)).id == job.id
            watching = asyncio.create_task(over(clients[number - 2], job.id))
            await clients[number - 1].jobs.cancel(job.id, signal="KILL")
            assert (await watching).state is JobState.CANCELLED


async def test_output_is_followed_through_any_worker(tmp_path: Path) -> None:
    async with crew(tmp_path) as (_, clients):
        started = await clients[0].jobs.start(shell("for i in 1 2 3; do echo $i; sleep 0.1; done"))

        async def heard(client: Client) -> bytes:
            return b"".join([piece.data async for piece in client.jobs.watch(started.id)])

        assert await asyncio.gather(*map(heard, clients)) == [b"1\n2\n3\n"] * CLIENTS


async def test_one_connection_has_the_slots_of_all_workers(tmp_path: Path) -> None:
    async with crew(tmp_path) as (_, clients):
        jobs = await begun([clients[0]] * CLIENTS)
        for job in jobs:
            await clients[0].jobs.cancel(job.id, signal="KILL")


async def test_jobs_of_a_killed_worker_are_taken_over(tmp_path: Path) -> None:
    async with crew(tmp_path) as (served, clients):
        running = await begun(clients)
        waiting = [await client.jobs.start(shell("echo ran")) for client in clients]
        before = children_of(served.process.pid)
        os.kill(min(before), signal.SIGKILL)
        await eventually(lambda: len(children_of(served.process.pid) - before) == 1)
        async with Client(served.unix) as client:
            async with asyncio.timeout(PATIENCE):
                while True:
                    if await states_of(client, running) == TAKEN_OVER:
                        break
                    await asyncio.sleep(0.01)  # a look
            for job in running:
                await client.jobs.cancel(job.id, signal="KILL")
            for job in waiting:
                ended = await over(client, job.id)
                assert ended.state is JobState.ENDED
                result = await client.jobs.result(job.id)
                assert result is not None
                assert result.stdout.data == b"ran\n"
