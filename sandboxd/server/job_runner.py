"""Runs the jobs that are kept, in their turn, and says on disk how far each is.

A few of each tenant's waiting jobs stand in the queue of all callers, so that turns are fair and
priorities hold; the others stay on disk. One whose program may have started is never run again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from sandboxd.errors import HostError, SandboxdError
from sandboxd.jobs.values import End
from sandboxd.model.stored import JobState
from sandboxd.runtime.live import Live
from sandboxd.server import audit, wire, wire_jobs
from sandboxd.server.answers import error_for
from sandboxd.server.bells import Bells
from sandboxd.server.recorder import Recorder
from sandboxd.server.turns import Queueing
from sandboxd.server.wire_faults import fault_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.jobs.ledger import Record
    from sandboxd.jobs.output import Piece
    from sandboxd.jobs.store import JobStore
    from sandboxd.jobs.values import Wish
    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult
    from sandboxd.server.calls import Known
    from sandboxd.server.threads import Threads
    from sandboxd.server.turns import Turn, Turns

log = logging.getLogger(__name__)

LARGE_BYTES = 1 << 20
"""A request above this is read in a thread, so that nobody waits for it."""
MAX_READ_BYTES = 256 << 20
"""Of requests in memory that wait for their turn; beyond it one of each tenant."""
SHARED_LOOK_SECONDS = 0.25
"""Between two looks at what other processes have left or wish, where there are some."""
ADOPTED_PER_SLOT = 8
"""So many waiting jobs an idle process takes from others at a time."""
LOOK_SECONDS = 60.0
"""The same, where there should be none; and how long a job may outlive its time."""
RETRY_SECONDS = 1.0
"""After a disk has failed."""


@dataclass(eq=False, slots=True)
class _Active:
    """A job that stands in the queue of all, or runs."""

    record: Record
    live: Live
    recorder: Recorder
    task: asyncio.Task[None] | None = None
    is_waiting: bool = True
    """Whether it may still be put back: nothing has been said on disk."""
    is_cancelled: bool = False
    """Whether its caller wishes it to end."""
    start_us: int | None = None


class JobRunner:
    """Runs the jobs of one store, as far as they are this process's."""

    def __init__(
        self,
        store: JobStore,
        threads: Threads,
        turns: Turns,
        *,
        is_shared: bool,
        on_end: Callable[[], None],
    ) -> None:
        """Take the store, and what runs jobs; `on_end` is told when a job has ended.

        A store that `is_shared` is looked at often for what other processes wish.
        """
        self.bells = Bells()
        """Rung by a job's id when there is something new of it."""
        self.is_leaving = False
        """Whether no job begins any more."""
        self.has_left = False
        """Whether none runs any more."""
        self._store = store
        self._threads = threads
        self._turns = turns
        self._is_shared = is_shared
        self._on_end = on_end
        self._active: dict[str, _Active] = {}
        self._tenants: set[str] = set()
        """Whose waiting jobs are to be looked at."""
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, known_of: Callable[[str], Known]) -> None:
        """Begin with what waits on disk; `known_of` gives the caller that a tenant is now."""
        self._known_of = known_of
        await self._look_at_all()
        self._tasks = [asyncio.create_task(self._fill_all()), asyncio.create_task(self._tend())]

    def look(self, tenant: str) -> None:
        """Look at a tenant's waiting jobs: something has changed."""
        self._tenants.add(tenant)
        self._news.set()

    async def cancel(self, tenant: str, job_id: str, wish: Wish) -> Record:
        """End a job, wherever it is; gives it as it is now.

        Raises:
            NotFoundError: the tenant has no such job.

        """
        record = await self._threads.do(self._store.cancel, tenant, job_id, wish)
        if record.state == JobState.RUNNING:
            self._cancel_running(job_id, wish)
        elif record.state == JobState.CANCELLED:
            self.look(tenant)
            self.bells.ring(job_id)
            self._on_end()
        return record

    def leave(self) -> None:
        """Begin no job any more; those that wait stay on disk for another time."""
        self.is_leaving = True
        for active in self._active.values():
            if active.is_waiting and active.task is not None:
                active.task.cancel()
        self.bells.ring_all()

    def cut_short(self) -> None:
        """Kill what runs; it is told as interrupted."""
        for active in self._active.values():
            if active.task is not None:
                active.task.cancel()

    async def close(self) -> None:
        """Wait until all that runs has ended, and that is on disk."""
        self.leave()
        for task in self._tasks:
            task.cancel()
        running = [active.task for active in self._active.values() if active.task is not None]
        await asyncio.gather(*running, *self._tasks, return_exceptions=True)
        self.has_left = True
        self.bells.ring_all()

    # --- what waits -------------------------------------------------------------------------------

    async def _fill_all(self) -> None:
        """Have those stand in the queue whose turn it may be, whenever something has changed."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._tenants and not self.is_leaving:
                tenant = self._tenants.pop()
                try:
                    await self._fill(tenant)
                except HostError as error:
                    log.error("%s", error)  # noqa: TRY400 - no trace
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self.look, tenant)

    async def _fill(self, tenant: str) -> None:
        count = self._turns.host.slot_count
        first = await self._threads.do(self._store.next_of, tenant, count)
        wanted = {record.id for record in first}
        for active in self._active.values():
            is_own = active.record.tenant == tenant
            if is_own and active.is_waiting and active.record.id not in wanted and active.task:
                active.task.cancel()  # one that goes before it has come
        if self.is_leaving:
            return
        for place, record in enumerate(first):
            if record.id not in self._active and (not place or self._has_room(record)):
                self._begin(record)

    def _has_room(self, record: Record) -> bool:
        read = sum(one.record.request_bytes for one in self._active.values() if one.is_waiting)
        return read + record.request_bytes <= MAX_READ_BYTES

    def _begin(self, record: Record) -> None:
        recorder = Recorder(
            partial(self._write, record.id),
            lambda is_full: active.live.pause_output(is_paused=is_full),
        )
        live = Live(recorder.take, lambda *_: self._note_start(active))
        active = self._active[record.id] = _Active(record, live, recorder)
        active.task = asyncio.create_task(self._attend(active))

    async def _attend(self, active: _Active) -> None:
        record, left = active.record, None
        try:
            left = await self._in_its_turn(active)
            while left is not None and not self.is_leaving:
                await asyncio.sleep(RETRY_SECONDS)
                left = await self._finish(active, left)
        except asyncio.CancelledError:
            pass  # it waits on, or another process finds what is left of it
        except HostError as error:  # nothing was begun
            log.error("%s", error)  # noqa: TRY400 - no trace
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            del self._active[record.id]
            self.look(record.tenant)

    async def _in_its_turn(self, active: _Active) -> End | None:
        """Run a job when it is its turn; give its end if that could not be kept.

        Raises:
            HostError: it has not begun, and waits on.

        """
        record = active.record
        queueing = Queueing(priority=record.priority, is_bounded_elsewhere=True)
        try:
            known, job = self._known_of(record.tenant), await self._read(record)
            async with self._turns.taken((job,), known, queueing, is_live=True) as turn:
                active.is_waiting = False
                self.look(record.tenant)
                return await self._run(active, known, turn, job)
        except SandboxdError as error:
            if error.reason == "DRAINING" or not active.is_waiting:
                raise
            end = self._faulty(active, error)
        except Exception as error:  # noqa: BLE001 - a defect of ours, which is in the log now
            end = self._faulty(active, error)
        active.is_waiting = False
        return await self._finish(active, end)

    async def _read(self, record: Record) -> Job:
        request = await self._threads.do(self._request_of, record)
        job = (
            await asyncio.to_thread(wire_jobs.job_of, request)
            if len(request) > LARGE_BYTES
            else wire_jobs.job_of(request)
        )
        return bounded(job, self._turns)

    def _request_of(self, record: Record) -> bytes:
        with self._store.reading(record.id) as place:
            return place.request()

    # --- what runs --------------------------------------------------------------------------------

    async def _run(self, active: _Active, known: Known, turn: Turn, job: Job) -> End | None:
        """Run a job whose turn it is, once: from here on never again."""
        record = active.record
        try:
            if not await self._threads.do(self._store.begin, record):
                return None
            self.bells.ring(record.id)
            end = await self._end_of(active, known, turn, job)
        except asyncio.CancelledError:
            end = End(state=JobState.INTERRUPTED, start_us=active.start_us)
        return await self._finish(active, end)

    async def _end_of(self, active: _Active, known: Known, turn: Turn, job: Job) -> End:
        recording = asyncio.ensure_future(active.recorder.run(active.live.kill))
        waited = timedelta(microseconds=max(0, time.time_ns() // 1000 - active.record.create_us))
        opened = turn.opened[0]
        try:
            result = await self._turns.supervisor.run(
                opened.job, queue_time=waited, blob_fds=opened.fds, live=active.live
            )
            result = await self._turns.blobs.stored(result, job, known.tenant, known.caller.share)
            active.recorder.close()
            await recording
        except Exception as error:  # noqa: BLE001 - whatever it is, the job has ended with it
            return self._faulty(active, error)
        finally:
            active.recorder.close()
            await asyncio.gather(recording, return_exceptions=True)
        if active.recorder.error is not None:
            return self._faulty(active, active.recorder.error)
        audit.write_end(active.record.id, known.tenant, result)
        return await asyncio.to_thread(_ended, active, result)

    def _faulty(self, active: _Active, error: Exception) -> End:
        told = error_for(error)
        audit.write_end(active.record.id, active.record.tenant, reason=told.reason)
        fault = fault_of(told)
        return End(state=JobState.FAULT, fault=fault, start_us=active.start_us)

    async def _finish(self, active: _Active, end: End) -> End | None:
        """Say on disk how a job ended; give what is to be said if the disk refuses."""
        record = active.record
        try:
            await self._threads.do(self._store.finish, record, end)
        except HostError as error:
            log.error("cannot keep the end of job %s: %s", record.id, error)  # noqa: TRY400 - no trace
            return self._faulty(active, error)
        finally:
            self.bells.ring(record.id)
            self._on_end()
        return None

    async def _write(self, job_id: str, pieces: list[Piece]) -> None:
        await self._threads.do(self._store.append, job_id, pieces)
        self.bells.ring(job_id)

    def _note_start(self, active: _Active) -> None:
        active.start_us = time.time_ns() // 1000

    def _cancel_running(self, job_id: str, wish: Wish) -> None:
        active = self._active.get(job_id)
        if active is not None:
            active.is_cancelled = True
            active.live.cancel(wish.signal, timedelta(seconds=wish.grace_seconds))

    # --- other processes --------------------------------------------------------------------------

    async def _tend(self) -> None:
        """Look now and then at what others wish or have left, and at what has had its time."""
        clock = asyncio.get_running_loop().time
        expired = clock()
        while True:
            await asyncio.sleep(SHARED_LOOK_SECONDS if self._is_shared else LOOK_SECONDS)
            try:
                wishes = await self._threads.do(self._store.wishes)
                for job_id, wish in wishes.items():
                    self._cancel_running(job_id, wish)
                if await self._threads.do(self._store.take_over):
                    await self._look_at_all()
                    self._on_end()
                await self._adopt()
                if clock() - expired >= LOOK_SECONDS:
                    expired = clock()
                    await self._threads.do(self._store.expire)
            except HostError as error:
                log.error("%s", error)  # noqa: TRY400 - no trace

    async def _adopt(self) -> None:
        """Help others out: a caller of one connection has all its jobs at one process."""
        count = self._turns.host.slot_count
        if self.is_leaving or len(self._active) >= count:
            return
        for tenant in await self._threads.do(self._store.adopt, ADOPTED_PER_SLOT * count):
            self.look(tenant)

    async def _look_at_all(self) -> None:
        for tenant in await self._threads.do(self._store.tenants_waiting):
            self.look(tenant)


def bounded(job: Job, turns: Turns) -> Job:
    """Give the job with its output bounded, as that of every job is which is kept."""
    limits = job.limits
    if limits.output_bytes is None:
        limits = replace(limits, output_bytes=turns.host.defaults.output_bytes)
    return replace(job, limits=limits)


def _ended(active: _Active, result: RunResult) -> End:
    message = wire.to_response(result)
    return End(
        state=JobState.CANCELLED if active.is_cancelled else JobState.ENDED,
        start_us=active.start_us,
        outcome=message.outcome.SerializeToString(),
        result=message.SerializeToString(),
    )
