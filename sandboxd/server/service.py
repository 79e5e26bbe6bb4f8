"""The servicer: one call, one job; a thin line from message to value, slot, supervisor and back."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sandboxd.errors import HostError, JobError, RequestError, Violation
from sandboxd.server import (
    attaching,
    audit,
    batching,
    calls,
    grouping,
    wire,
    wire_batch,
    wire_group,
    wire_live,
)
from sandboxd.server.budgets import Untaken
from sandboxd.server.turns import Queueing
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import grpc

    from sandboxd.model.job import Job
    from sandboxd.server.board import Counts
    from sandboxd.server.turns import Turns

    AttachContext = grpc.aio.ServicerContext[pb.AttachRequest, pb.AttachResponse]
    GroupContext = grpc.aio.ServicerContext[pb.RunGroupRequest, pb.RunGroupResponse]
    RunContext = grpc.aio.ServicerContext[pb.RunRequest, pb.RunResponse]
    BatchContext = grpc.aio.ServicerContext[pb.RunBatchRequest, pb.RunBatchResponse]
    HostContext = grpc.aio.ServicerContext[pb.GetHostRequest, pb.GetHostResponse]

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["RunnerService"]


class RunnerService(pb_grpc.RunnerServiceServicer):
    """Serves `sandboxd.v1.RunnerService`. What it raises, the guard before it answers."""

    def __init__(self, turns: Turns, counts: Callable[[], Counts]) -> None:
        """Take what runs jobs, and what counts them."""
        self._turns = turns
        self._counts = counts
        self._calls: set[asyncio.Task[Any] | None] = set()
        self._cut_short = False
        self._batches = batching.Batches()
        self._untaken = Untaken()

    async def Run(self, request: pb.RunRequest, context: RunContext) -> pb.RunResponse:  # noqa: N802
        """Run one job to its end; cancelling the call cancels the job, then frees its slot."""
        with self._until_cut_short():
            response = await self._run(request, calls.current())
            self._untaken.count(calls.known().tenant, response.ByteSize(), context)
            return response

    async def Attach(  # noqa: N802
        self, requests: AsyncIterator[pb.AttachRequest], context: AttachContext
    ) -> None:
        """Run one job live; cancelling the call cancels the job, then frees its slot."""
        with self._until_cut_short():
            request, call = await attaching.first(requests), calls.current()
            job, takes_input = wire_live.to_live_job(request)
            await audit.note_digest(call, pb.RunRequest(job=request.job))
            with _in_request():
                self._admit(job, call, is_live=True)
                queueing = Queueing(size_bytes=request.ByteSize() + attaching.HELD_BYTES)
                call.result = await attaching.attached(
                    lambda live: self._turns.run(job, calls.known(), queueing, live),
                    requests,
                    self._writing(context),
                    takes_input=takes_input,
                )

    async def RunGroup(  # noqa: N802
        self, request: pb.RunGroupRequest, context: GroupContext
    ) -> pb.RunGroupResponse:
        """Run several jobs joined by pipes; cancelling the call cancels them all."""
        with self._until_cut_short():
            known = calls.known()
            self._untaken.check(known.tenant)
            group = wire_group.to_group(request, self._turns.host.ceilings.wall_time)
            grouping.check(group, self._turns, known)
            queueing = Queueing(size_bytes=request.ByteSize())
            noted = [
                await self._noted(index, member.job, one.job)
                for index, (member, one) in enumerate(
                    zip(request.members, group.members, strict=True)
                )
            ]
            result = await grouping.run(group, self._turns, known, queueing, noted)
            response = wire_group.from_result(result)
            self._untaken.count(known.tenant, response.ByteSize(), context)
            return response

    async def RunBatch(self, request: pb.RunBatchRequest, context: BatchContext) -> None:  # noqa: N802
        """Run one job over many cases; cancelling the call cancels those that run."""
        with self._until_cut_short():
            call, known = calls.current(), calls.known()
            await audit.note_digest(call, pb.RunRequest(job=request.job))
            batch = wire_batch.to_batch(request)
            with self._batches.counted(known.tenant, batch.size_bytes):
                with _in_request():
                    self._admit(batch.common, call)
                await batching.check_cases(batch, lambda job: self._turns.check(job, known))
                await batching.run(batch, self._turns, call, known, context)

    async def GetHost(  # noqa: N802
        self, _request: pb.GetHostRequest, _context: HostContext
    ) -> pb.GetHostResponse:
        """Describe this host; needs no slot."""
        return wire.to_host_response(self._turns.host, self._counts())

    def _writing(self, context: AttachContext) -> attaching.Write:
        """Give what sends an answer of Attach, and counts it until it is taken if it is large."""
        tenant = calls.known().tenant

        async def write(response: pb.AttachResponse) -> None:
            if response.HasField("ended"):
                self._untaken.count(tenant, response.ByteSize(), context)
            await context.write(response)

        return write

    async def _noted(self, index: int, asked: pb.Job, job: Job) -> calls.Call:
        """Give what the audit notes of one of several jobs in a call."""
        call = replace(calls.current(), case=index)
        await audit.note_digest(call, pb.RunRequest(job=asked))
        call.policy = job.policy
        call.policy_digest = self._turns.host.policies[job.policy].digest
        return call

    def cut_short(self) -> None:
        """Cancel every job that runs or waits; each call is answered that the server leaves."""
        self._cut_short = True
        for call in self._calls:
            if call is not None:
                call.cancel()

    @contextmanager
    def _until_cut_short(self) -> Iterator[None]:
        """Tell our own cancelling from the caller's."""
        call = asyncio.current_task()
        self._calls.add(call)
        try:
            yield
        except asyncio.CancelledError:
            if not self._cut_short:
                raise
            message = "cannot finish the job: the server is leaving"
            raise HostError("DRAINING", message, "ask another server") from None
        finally:
            self._calls.discard(call)

    async def _run(self, request: pb.RunRequest, call: calls.Call) -> pb.RunResponse:
        await audit.note_digest(call, request)
        job = wire.to_job(request)
        with _in_request():
            self._admit(job, call)
            queueing = Queueing(size_bytes=request.ByteSize())
            call.result = await self._turns.run(job, calls.known(), queueing)
        return wire.to_response(call.result)

    def _admit(self, job: Job, call: calls.Call, *, is_live: bool = False) -> None:
        """Refuse a job that can never run, or not now; else the audit may know its policy."""
        self._untaken.check(calls.known().tenant)
        if job.terminal is not None and not is_live:
            raise JobError(Violation("terminal", "must be unset: only a live job has one"))
        self._turns.check(job, calls.known(), is_live=is_live)
        call.policy = job.policy
        call.policy_digest = self._turns.host.policies[job.policy].digest


@contextmanager
def _in_request() -> Iterator[None]:
    """Name the fields of a job that is refused by their paths in the request."""
    try:
        yield
    except RequestError:  # names its own
        raise
    except JobError as error:
        raise wire.in_request(error) from None
