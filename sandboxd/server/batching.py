"""One job over many cases: as many at once as may be, each in its turn, each with one answer.

What the caller does not take holds up the cases that follow, not memory.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sandboxd.errors import Busy, JobError, StreamIdle
from sandboxd.model.batch import Course, SkipCause, Skipped
from sandboxd.server import audit, wire_batch
from sandboxd.server.answers import error_for
from sandboxd.server.turns import Queueing
from sandboxd.server.wire_faults import fault_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import grpc

    from sandboxd.errors import Violation
    from sandboxd.model.batch import Answer
    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult
    from sandboxd.server.calls import Call, Known
    from sandboxd.server.turns import Turns
    from sandboxd.server.wire_batch import Batch
    from sandboxd.v1 import runner_service_pb2 as pb

    Context = grpc.aio.ServicerContext[Any, pb.RunBatchResponse]

MAX_BATCHES = 64
"""Under way at once; of one tenant half of them, so that others find room."""
MAX_BYTES = 512 << 20
"""What the requests of all may hold in memory; the same holds for it."""
RETRY_AFTER = timedelta(seconds=1)
LOOKING_SECONDS = 0.005
"""In which cases are looked at before others have their turn on the event loop."""
MAX_NAMED = 256
"""Fields at fault; beyond so many the cases that follow are not looked at."""
TAKING_SECONDS = 600.0
"""In which an answer must be taken: else nothing bounds a batch that runs nothing."""
QUEUEING = Queueing(is_bounded_elsewhere=True)
"""How cases wait: there are never more than may run, and `Batches` bounds what they hold."""


class Batches:
    """Counts the batches under way: each holds its request in memory, and no place in the queue."""

    def __init__(self) -> None:
        """Begin with none."""
        self._held: list[tuple[str, int]] = []

    @contextmanager
    def counted(self, tenant: str, size_bytes: int) -> Iterator[None]:
        """Count a batch while the context lasts.

        Raises:
            Busy: there are, or the tenant has, too many or too large ones.

        """
        own = [size for name, size in self._held if name == tenant]
        everyones = [size for _, size in self._held]
        for sizes, part, reason in ((own, 2, "SHARE_EXHAUSTED"), (everyones, 1, "QUEUE_FULL")):
            if len(sizes) >= MAX_BATCHES // part or sum(sizes) + size_bytes > MAX_BYTES // part:
                text = f"cannot begin another batch: {len(sizes)} are under way"
                busy = Busy(f"{text}, with {sum(sizes)} bytes of requests", RETRY_AFTER)
                busy.reason = reason
                raise busy
        one = (tenant, size_bytes)
        self._held.append(one)
        try:
            yield
        finally:
            self._held.remove(one)


async def check_cases(batch: Batch, check: Callable[[Job], object]) -> None:
    """Refuse a batch for any case that can never run, before one does; lets others work meanwhile.

    Raises:
        JobError: naming the fields at fault by their paths in the request.
        PreconditionError: a case asks for what is not on offer.

    """
    broken: list[Violation] = []
    began = time.monotonic()
    for index, message in enumerate(batch.cases):
        try:
            job = wire_batch.job_of(batch.common, message, index)
            try:
                check(job)
            except JobError as error:
                raise wire_batch.in_case(error, index, len(batch.common.files)) from None
        except JobError as error:
            broken += error.violations
        if len(broken) >= MAX_NAMED:
            break
        if time.monotonic() - began > LOOKING_SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()
    if broken:
        raise JobError(*broken)


async def run(batch: Batch, turns: Turns, call: Call, known: Known, context: Context) -> None:
    """Run all cases, and write how each went as it ends.

    Raises:
        PreconditionError, BlobDamaged: a blob of the common job is not there, or not as it was.
        StreamIdle: nobody takes the answers.

    """
    async with turns.common(batch.common, known) as (common, own_turns):
        run = _Run(replace(batch, common=common), own_turns, call, known, context)
        await run.to_end()


class _Run:
    """One batch under way."""

    def __init__(
        self, batch: Batch, turns: Turns, call: Call, known: Known, context: Context
    ) -> None:
        self._batch = batch
        self._turns = turns
        self._call = call
        self._known = known
        self._context = context
        self._course = Course(batch.rule, [case.group for case in batch.cases])
        self._places = asyncio.Semaphore(_useful_count(batch, turns, known))
        """For cases that run, or whose answer is not taken yet."""
        self._running: dict[int, asyncio.Task[None]] = {}
        self._killed: set[int] = set()
        """Those of the running ones that we have cancelled."""
        self._writing = asyncio.Lock()

    async def to_end(self) -> None:
        timer = None
        if self._batch.wall_time is not None:
            seconds = self._batch.wall_time.total_seconds()
            timer = asyncio.get_running_loop().call_later(seconds, self._stop, SkipCause.WALL_TIME)
        try:
            async with asyncio.TaskGroup() as cases:
                for index in range(len(self._batch.cases)):
                    await self._places.acquire()
                    cases.create_task(self._case(index))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            if timer is not None:
                timer.cancel()

    async def _case(self, index: int) -> None:
        """Run one case, unless it is skipped, and write its answer."""
        cause = self._course.cause(index)
        answer = Skipped(cause) if cause else await self._answer(index)
        if self._course.heed(index, answer):
            self._kill()
        await self._write(wire_batch.from_answer(index, answer))
        self._places.release()

    async def _answer(self, index: int) -> Answer:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        self._running[index] = task
        try:
            return await self._run(index, self._batch.cases[index])
        except asyncio.CancelledError:
            cause = self._course.cause(index)
            if cause is None or index not in self._killed or task.uncancel():
                raise  # it is the call that is cancelled
            return Skipped(cause)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            return fault_of(error_for(error))
        finally:
            del self._running[index]
            self._killed.discard(index)

    async def _run(self, index: int, case: pb.BatchCase) -> RunResult:
        call = replace(self._call, case=index)
        if audit.is_on():
            common = call.job_digest
            is_large = case.ByteSize() > audit.LARGE_BYTES
            call.job_digest = (
                await asyncio.to_thread(audit.case_digest, common, case)
                if is_large
                else audit.case_digest(common, case)
            )
        with audit.case_recorded(call):
            job = wire_batch.job_of(self._batch.common, case, index)
            call.result = await self._turns.run(job, self._known, QUEUEING)
        return call.result

    def _stop(self, cause: SkipCause) -> None:
        self._course.stop(cause)
        self._kill()

    def _kill(self) -> None:
        """Cancel those that run and are to be skipped."""
        for index, task in self._running.items():
            if index not in self._killed and self._course.cause(index):
                self._killed.add(index)
                task.cancel()

    async def _write(self, answer: pb.RunBatchResponse) -> None:
        try:
            async with self._writing, asyncio.timeout(TAKING_SECONDS):
                await self._context.write(answer)
        except TimeoutError:
            text = f"cannot wait longer than {TAKING_SECONDS:g} s for the caller to take an answer"
            raise StreamIdle(text) from None


def _useful_count(batch: Batch, turns: Turns, known: Known) -> int:
    """Tell how many cases may be under way: more would only wait."""
    most = min(turns.host.slot_count, known.caller.share.slots or turns.host.slot_count)
    return min(batch.parallel_count or most, most)
