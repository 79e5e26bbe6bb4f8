"""A caller's jobs, each in its turn and within its share, with its blobs at hand."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandboxd.errors import JobError, Violation
from sandboxd.model.job import uses_blobs
from sandboxd.server.job_blobs import placed_blob_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta

    from sandboxd.host import Host
    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult
    from sandboxd.runtime.live import Live
    from sandboxd.runtime.supervisor import Supervisor
    from sandboxd.server.admission import Admission
    from sandboxd.server.calls import Known
    from sandboxd.server.job_blobs import JobBlobs, OpenedBlobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Queueing:
    """How jobs wait for their turn."""

    size_bytes: int = 0
    """What their request holds in memory meanwhile."""
    priority: int = 0
    """Before others of the same caller: higher ones."""
    is_bounded_elsewhere: bool = False
    """Whether somebody else sees to it that few wait; then they take no place in the queue."""


AT_ONCE = Queueing()


@dataclass(frozen=True, slots=True)
class Turn:
    """Jobs whose turn it is, in their order, each with its blobs."""

    queue_time: timedelta
    opened: tuple[OpenedBlobs, ...]


class Turns:
    """Runs jobs with one supervisor behind one queue."""

    def __init__(self, supervisor: Supervisor, admission: Admission, blobs: JobBlobs) -> None:
        """Take what runs jobs, what decides when, and their blobs."""
        self.supervisor = supervisor
        self.blobs = blobs
        self._admission = admission

    @property
    def host(self) -> Host:
        """What the jobs run on."""
        return self.supervisor.host

    def check(
        self, job: Job, known: Known, *, is_live: bool = False, wired: tuple[int, ...] = ()
    ) -> int:
        """Refuse a job that can never run here, or not for this caller; it need not wait then.

        Gives its limit of memory.

        Raises:
            JobError, PreconditionError: as `Supervisor.run`, or it is above the caller's share.

        """
        memory_bytes = self.supervisor.check(job, is_live=is_live, wired=wired).memory_bytes or 0
        _check_share(known, memory_bytes)
        return memory_bytes

    async def run(
        self, job: Job, known: Known, queueing: Queueing = AT_ONCE, live: Live | None = None
    ) -> RunResult:
        """Run a job when it is its turn, and store what it wants stored.

        Raises:
            SandboxdError: as `check`, `Admission.slot`, `Supervisor.run`, or a blob is not there.

        """
        if uses_blobs(job):
            async with self.taken((job,), known, queueing, is_live=live is not None) as turn:
                opened = turn.opened[0]
                result = await self.supervisor.run(
                    opened.job, queue_time=turn.queue_time, blob_fds=opened.fds, live=live
                )
                # What is stored is in memory until then: so before somebody else has the turn.
                return await self.blobs.stored(result, job, known.tenant, known.caller.share)
        memory_bytes = self.check(job, known, is_live=live is not None)
        async with self._slots(1, memory_bytes, known, queueing) as queue_time:
            return await self.supervisor.run(job, queue_time=queue_time, live=live)

    @asynccontextmanager
    async def common(self, job: Job, known: Known) -> AsyncIterator[tuple[Job, Turns]]:
        """Have at hand what many jobs have in common, while the context lasts.

        Gives it with the sizes of its blobs, and turns for jobs that are made of it.

        Raises:
            SandboxdError: a blob is not there, or not as it was.

        """
        async with self.blobs.common(job, known.tenant) as (sized, blobs):
            yield sized, Turns(self.supervisor, self._admission, blobs)

    @asynccontextmanager
    async def taken(
        self,
        jobs: Sequence[Job],
        known: Known,
        queueing: Queueing = AT_ONCE,
        *,
        is_live: bool = False,
    ) -> AsyncIterator[Turn]:
        """Have a slot for each of some jobs, all at once, and their blobs, while the context lasts.

        Raises:
            SandboxdError: as `run`.

        """
        memory_bytes = sum(self.check(job, known, is_live=is_live) for job in jobs)
        async with AsyncExitStack() as stack:
            held = [
                await stack.enter_async_context(self.blobs.held(job, known.tenant)) for job in jobs
            ]
            memory_bytes += sum(placed_blob_bytes(one.job) for one in held)
            _check_share(known, memory_bytes)
            slots = self._slots(len(jobs), memory_bytes, known, queueing)
            queue_time = await stack.enter_async_context(slots)
            opened = [await stack.enter_async_context(self.blobs.opened(one)) for one in held]
            yield Turn(queue_time, tuple(opened))

    def _slots(
        self, count: int, memory_bytes: int, known: Known, queueing: Queueing
    ) -> AbstractAsyncContextManager[timedelta]:
        return self._admission.slot(
            known.tenant,
            queueing.size_bytes,
            share=known.caller.share,
            memory_bytes=memory_bytes,
            count=count,
            priority=queueing.priority,
            is_bounded_elsewhere=queueing.is_bounded_elsewhere,
        )


def _check_share(known: Known, memory_bytes: int) -> None:
    """Refuse what needs more memory, blobs too, than its caller may ever have."""
    most = known.caller.share.memory_bytes
    if most is not None and memory_bytes > most:
        rule = f"must be at most {most}, the caller's share, with the blobs among its files"
        raise JobError(Violation("limits.memory_bytes", rule))
