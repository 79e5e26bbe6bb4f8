"""Clients that load a server: each as fast as it is answered, or all at a given rate.

A client takes part in what it measures: on few processors its own time matters. So the processor
time of this process is measured too.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servers import RunJob

OPEN_CONNECTIONS = 64
"""Jobs under way at once at a given rate; beyond that they wait with the client, and are timed."""


@dataclass(slots=True)
class Measured:
    """What some clients saw, all in seconds."""

    times: list[float] = field(default_factory=list)
    """What each job took; at a given rate from when it was due, however late it was sent."""
    elapsed: float = 0.0
    client_cpu: float = 0.0
    lateness: list[float] = field(default_factory=list)
    """At a given rate: how late each job was sent."""

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return len(self.times) / self.elapsed

    def add(self, other: Measured) -> None:
        """Take in what was measured at another time."""
        self.times += other.times
        self.lateness += other.lateness
        self.elapsed += other.elapsed
        self.client_cpu += other.client_cpu


@contextmanager
def runner() -> Iterator[asyncio.Runner]:
    """Have an event loop that wakes within microseconds of when it should.

    That of epoll counts in whole milliseconds.
    """

    def loop() -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(selectors.SelectSelector())

    with asyncio.Runner(loop_factory=loop) as found:
        gc.collect()
        gc.freeze()
        yield found


async def run_count(run_job: RunJob, count: int) -> Measured:
    """Let one client run a number of jobs, each one after the other."""
    with _measuring() as found:
        for _ in range(count):
            await _timed(run_job, found)
    return found


async def run_for(connections: Sequence[RunJob], seconds: float) -> Measured:
    """Let all clients run jobs for some seconds, each one after the other."""

    async def work(run_job: RunJob) -> None:
        while time.perf_counter() < until:
            await _timed(run_job, found)

    with _measuring() as found:
        until = time.perf_counter() + seconds
        await asyncio.gather(*map(work, connections))
    return found


async def run_at(connections: Sequence[RunJob], rate: float, seconds: float) -> Measured:
    """Send jobs at even distances, whether or not those before are done; wait for all of them."""
    idle: asyncio.LifoQueue[RunJob] = asyncio.LifoQueue()
    for one in connections:
        idle.put_nowait(one)

    async def send(due: float) -> None:
        run_job = await idle.get()
        found.lateness.append(time.perf_counter() - due)
        await run_job()
        found.times.append(time.perf_counter() - due)
        idle.put_nowait(run_job)

    with _measuring() as found:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as jobs:
            for number in range(int(rate * seconds)):
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                jobs.create_task(send(due))
    return found


@contextmanager
def _measuring() -> Iterator[Measured]:
    found = Measured()
    began, used = time.perf_counter(), time.process_time()
    yield found
    found.elapsed = time.perf_counter() - began
    found.client_cpu = time.process_time() - used


async def _timed(run_job: RunJob, found: Measured) -> None:
    began = time.perf_counter()
    await run_job()
    found.times.append(time.perf_counter() - began)
