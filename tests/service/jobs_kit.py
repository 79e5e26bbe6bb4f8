"""What the tests of kept jobs share: a store, a server with it, and jobs that wait for a word."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
from post import PATIENCE, eventually, posted

from sandboxd.jobs.store import JobStore
from sandboxd.model.job import Job
from sandboxd.model.limits import Limits
from sandboxd.v1 import job_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from post import Post

    from sandboxd.client import Client
    from sandboxd.model.stored import JobState, StoredJob

LONG = Limits(wall_time=timedelta(minutes=10), cpu_time=timedelta(minutes=10))


def opened(directory: Path, **settings: Any) -> JobStore:
    usual: dict[str, Any] = {
        "max_bytes": 1 << 30,
        "queue_length": 64,
        "keep_time": timedelta(days=1),
    }
    return JobStore(directory, **usual | settings)


@asynccontextmanager
async def kept(directory: Path, *callers: Any, **settings: Any) -> AsyncIterator[Post]:
    """Serve with a store of jobs of its own while the context lasts."""
    own = ("max_bytes", "queue_length", "keep_time")
    of_store = {name: settings.pop(name) for name in own if name in settings}
    store = opened(directory / "jobs", **of_store)
    try:
        async with posted(directory, *callers, jobs=store, **settings) as post:
            yield post
    finally:
        store.close()


@asynccontextmanager
async def stub_of(address: str) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield pb_grpc.JobServiceStub(channel)


def sleeping(seconds: str) -> Job:
    """Give a job that runs until somebody ends it."""
    return Job(argv=("sleep", seconds), limits=LONG)


def shell(script: str, **fields: Any) -> Job:
    return Job(argv=("sh", "-c", script), **fields)


async def reached(client: Client, job_id: str, *states: JobState) -> StoredJob:
    """Wait until a job is in one of these states."""
    async with asyncio.timeout(PATIENCE):
        while True:
            job = await client.jobs.get(job_id)
            if job.state in states:
                return job
            assert not job.state.is_over, job
            await asyncio.sleep(0.005)  # a look, not a wait: the timeout alone decides


async def over(client: Client, job_id: str) -> StoredJob:
    """Wait until a job is over, by watching it."""
    async for _ in client.jobs.watch(job_id):
        pass
    return await client.jobs.get(job_id)


__all__ = ["eventually", "kept", "opened", "over", "reached", "shell", "sleeping", "stub_of"]
