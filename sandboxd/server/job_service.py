"""The servicer of jobs that outlive their caller: from messages to the store, and its runner.

A watcher reads from disk at its own pace, so any number may watch, each from its own position.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sandboxd.errors import HostError, JobError, PreconditionError, RequestError, Violation
from sandboxd.model.stored import JobState
from sandboxd.server import audit, calls, wire, wire_jobs
from sandboxd.server.budgets import Budget
from sandboxd.server.job_runner import LARGE_BYTES, JobRunner, bounded
from sandboxd.server.streams import Streams
from sandboxd.server.webhooks import Webhooks
from sandboxd.v1 import job_service_pb2 as pb
from sandboxd.v1 import job_service_pb2_grpc as pb_grpc
from sandboxd.v1 import runner_service_pb2 as runner_pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import grpc

    from sandboxd.jobs.ledger import Record
    from sandboxd.jobs.output import Piece
    from sandboxd.jobs.store import JobStore
    from sandboxd.jobs.values import Asked
    from sandboxd.model.job import Job
    from sandboxd.server.calls import Known
    from sandboxd.server.threads import Threads
    from sandboxd.server.turns import Turns

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_REQUEST_BYTES = 256 << 20
MAX_ANSWER_BYTES = 512 << 20
DESCRIPTOR = pb.DESCRIPTOR.services_by_name["JobService"]
OWN_LOOK_SECONDS = 60.0
"""Between two looks at a job that is ours: whatever changes rings."""
OTHERS_LOOK_SECONDS = 0.1
"""The same, of one that another process runs."""


class JobService(pb_grpc.JobServiceServicer):
    """Serves `sandboxd.v1.JobService` with one store, or says that there is none."""

    def __init__(
        self,
        store: JobStore | None,
        threads: Threads,
        turns: Turns,
        webhooks: Sequence[str] = (),
        *,
        is_shared: bool = False,
    ) -> None:
        """Take the store, what works for it, what runs jobs, and where webhooks may lead.

        A store that `is_shared` has other processes that work on it.
        """
        self._store = store
        self._threads = threads
        self._turns = turns
        self._streams = Streams("output")
        self._requests = Budget(MAX_REQUEST_BYTES, "jobs to be kept")
        self._answers = Budget(MAX_ANSWER_BYTES, "results")
        if store is not None:
            self._hooks = Webhooks(store, threads, webhooks, is_shared=is_shared)
            self._runner = JobRunner(
                store, threads, turns, is_shared=is_shared, on_end=self._hooks.wake
            )

    async def start(self, known_of: Callable[[str], Known]) -> None:
        """Run what waits on disk; `known_of` gives the caller that a tenant is now."""
        if self._store is not None:
            self._hooks.start()
            await self._runner.start(known_of)

    def leave(self) -> None:
        """Accept and begin no job any more."""
        if self._store is not None:
            self._runner.leave()

    def cut_short(self) -> None:
        """Kill what runs."""
        if self._store is not None:
            self._runner.cut_short()

    async def close(self) -> None:
        """Wait until nothing of it is under way."""
        if self._store is not None:
            await self._runner.close()
            await self._hooks.close()

    # --- the rpcs ---------------------------------------------------------------------------------

    async def StartJob(  # noqa: N802
        self, request: pb.StartJobRequest, _context: Context
    ) -> pb.StartJobResponse:
        """Keep one job; answers when it is on disk, and before it runs."""
        store, known, call = self._there(), calls.known(), calls.current()
        with self._requests.taken(known.tenant, request.ByteSize()):
            job, asked = await self._asked(request, store)
            record = await self._threads.do(store.known, known.tenant, asked)
            if record is None:
                await self._admit(job, asked, known, call)
                await audit.note_digest(call, runner_pb.RunRequest(job=request.job))
                record = await self._started(store, known, asked)
        call.job = record.id
        return pb.StartJobResponse(job=await self._told(record))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:  # noqa: N802
        """Tell how a job is."""
        store = self._there()
        record = await self._threads.do(store.get, _tenant(), request.id)
        response = None
        if record.outcome is not None:
            give_back = self._answers.take(_tenant(), record.disk_bytes)
            context.add_done_callback(lambda _: give_back())  # type: ignore[arg-type]  # the stub wants a class
            response = await self._threads.do(_response, store, record)
        return pb.GetJobResponse(job=await self._told(record), response=response)

    async def ListJobs(self, request: pb.ListJobsRequest, _context: Context) -> pb.ListJobsResponse:  # noqa: N802
        """List a page of the caller's jobs."""
        store, page = self._there(), wire_jobs.to_page(request)
        one_more = page._replace(size=page.size + 1)
        found = await self._threads.do(store.page, _tenant(), one_more)
        records = found[: page.size]
        token = wire_jobs.token_of(records[-1]) if len(found) > page.size else ""
        jobs = await self._threads.do(_told, store, _tenant(), records)
        return pb.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def WatchJob(self, request: pb.WatchJobRequest, context: Context) -> None:  # noqa: N802
        """Replay a job's output, then follow it to its end."""
        store, tenant, job_id = self._there(), _tenant(), request.id
        position = request.position_bytes
        with self._streams.one_more(tenant), self._listening(job_id) as bell:
            await self._threads.do(_check_position, store, tenant, request)
            while True:
                heard = bell()
                record, pieces = await self._threads.do(_look, store, tenant, job_id, position)
                for piece in pieces:
                    await self._streams.send(wire_jobs.from_piece(piece), tenant, context)
                    position = piece.position + len(piece.data)
                if pieces:
                    continue
                if JobState(record.state).is_over:
                    break
                self._check_leaving(record)
                is_own = record.owner == store.own_name
                seconds = OWN_LOOK_SECONDS if is_own else OTHERS_LOOK_SECONDS
                await self._runner.bells.heard(heard, seconds)
            ended = pb.WatchJobResponse(ended=await self._told(record), position_bytes=position)
            await self._streams.send(ended, tenant, context)

    async def CancelJob(  # noqa: N802
        self, request: pb.CancelJobRequest, _context: Context
    ) -> pb.CancelJobResponse:
        """End one job; answers at once."""
        self._there()
        wish, call = wire_jobs.to_wish(request), calls.current()
        record = await self._runner.cancel(_tenant(), request.id, wish)
        call.job = record.id
        return pb.CancelJobResponse(job=await self._told(record))

    # ----------------------------------------------------------------------------------------------

    def _there(self) -> JobStore:
        if self._store is None:
            text = "cannot keep jobs: this server was started without a place for them"
            raise PreconditionError("JOBS_OFF", "jobs", text, "as the operator give --jobs")
        return self._store

    async def _asked(self, request: pb.StartJobRequest, store: JobStore) -> tuple[Job, Asked]:
        if request.ByteSize() > LARGE_BYTES:
            return await asyncio.to_thread(wire_jobs.to_asked, request, store.keep_time)
        return wire_jobs.to_asked(request, store.keep_time)

    async def _admit(self, job: Job, asked: Asked, known: Known, call: calls.Call) -> None:
        """Refuse what can never run here, or not now."""
        if asked.webhook is not None:
            self._hooks.check(asked.webhook)
        if self._runner.is_leaving:
            text = "cannot keep another job: the server is draining"
            raise HostError("DRAINING", text, "ask another server")
        try:
            self._turns.check(bounded(job, self._turns), known, is_live=True)
        except JobError as error:
            raise wire.in_request(error) from None
        call.policy = job.policy
        call.policy_digest = self._turns.host.policies[job.policy].digest
        async with self._turns.blobs.held(job, known.tenant):
            pass  # all are there now

    async def _started(self, store: JobStore, known: Known, asked: Asked) -> Record:
        places = known.caller.share.queue_places
        try:
            return await self._threads.do(store.start, known.tenant, asked, places)
        finally:  # whoever left meanwhile, it is accepted
            self._runner.look(known.tenant)

    async def _told(self, record: Record) -> pb.StoredJob:
        (told,) = await self._threads.do(_told, self._there(), record.tenant, [record])
        return told

    def _check_leaving(self, record: Record) -> None:
        """End a watch of what will not go on here."""
        runner = self._runner
        if runner.has_left or (runner.is_leaving and record.state == JobState.QUEUED):
            text = "cannot watch on: the server is leaving; the job is kept"
            raise HostError("DRAINING", text, "watch on from this position when one serves again")

    @contextmanager
    def _listening(self, job_id: str) -> Iterator[Callable[[], asyncio.Future[None]]]:
        """Give what begins to listen anew."""
        bells, last = self._runner.bells, None

        def again() -> asyncio.Future[None]:
            nonlocal last
            if last is not None:
                bells.leave(job_id, last)
            last = bells.listen(job_id)
            return last

        try:
            yield again
        finally:
            if last is not None:
                bells.leave(job_id, last)


def _told(store: JobStore, tenant: str, records: Sequence[Record]) -> list[pb.StoredJob]:
    """Give the messages that tell of jobs."""
    waits = any(record.state == JobState.QUEUED for record in records)
    positions = store.positions(tenant) if waits else {}
    found = []
    for record in records:
        with store.reading(record.id) as place:
            size = place.output.size_bytes
        found.append(wire_jobs.from_record(record, positions.get(record.id, 0), size))
    return found


def _response(store: JobStore, record: Record) -> runner_pb.RunResponse:
    """Give what Run would have answered: the result, with the output from where it was kept."""
    with store.reading(record.id) as place:
        response = runner_pb.RunResponse.FromString(place.result())
        response.stdout.data, response.stderr.data = place.output.streams()
    return response


def _look(store: JobStore, tenant: str, job_id: str, position: int) -> tuple[Record, list[Piece]]:
    """Give a job as it is, and then what it has written: all of it, if it is over."""
    record = store.get(tenant, job_id)
    with store.reading(job_id) as place:
        return record, place.output.read(position)


def _check_position(store: JobStore, tenant: str, request: pb.WatchJobRequest) -> None:
    store.get(tenant, request.id)
    with store.reading(request.id) as place:
        size = place.output.size_bytes
    if not 0 <= request.position_bytes <= size:
        rule = f"must be from 0 to {size}, what there is"
        raise RequestError(Violation("position_bytes", rule))


def _tenant() -> str:
    return calls.known().tenant
