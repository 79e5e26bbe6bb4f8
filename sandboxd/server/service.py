"""The servicer: one call, one job; a thin line from message to value, slot, supervisor and back."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from sandboxd.errors import HostError, JobError, Violation
from sandboxd.plan import limits_for
from sandboxd.server import audit, calls, wire
from sandboxd.server.answers import answered
from sandboxd.server.wire_bytes import request_from
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult
    from sandboxd.runtime.supervisor import Supervisor
    from sandboxd.server.admission import Admission

    RunContext = grpc.aio.ServicerContext[pb.RunRequest, pb.RunResponse]
    HostContext = grpc.aio.ServicerContext[pb.GetHostRequest, pb.GetHostResponse]

LARGE_BYTES = 1 << 20
"""A request above this is digested in a thread, so that nobody waits for it."""
DESCRIPTOR = pb.DESCRIPTOR.services_by_name["RunnerService"]


class RunnerService(pb_grpc.RunnerServiceServicer):
    """Serves `sandboxd.v1.RunnerService` with one supervisor behind one queue."""

    def __init__(self, supervisor: Supervisor, admission: Admission) -> None:
        """Take what runs jobs and what decides when; both outlive the service."""
        self._supervisor = supervisor
        self._admission = admission
        self._calls: set[asyncio.Task[Any] | None] = set()
        self._cut_short = False

    async def Run(self, request: pb.RunRequest, context: RunContext) -> pb.RunResponse:  # noqa: N802
        """Run one job to its end; cancelling the call cancels the job, then frees its slot."""
        async with answered(context):
            with self._until_cut_short():
                return await self._run(request, calls.current())

    async def GetHost(  # noqa: N802
        self, _request: pb.GetHostRequest, context: HostContext
    ) -> pb.GetHostResponse:
        """Describe this host; needs no slot."""
        async with answered(context):
            return wire.to_host_response(self._supervisor.host, self._supervisor.ready_count)

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
        size_bytes = request.ByteSize()
        if audit.is_on():
            call.job_digest = await _digest(request, size_bytes)
        call.result = await self._run_job(wire.to_job(request), call, size_bytes)
        return wire.to_response(call.result)

    async def _run_job(self, job: Job, call: calls.Call, size_bytes: int) -> RunResult:
        """Run a job when it is its caller's turn and within its share."""
        assert call.known is not None  # noqa: S101 - the guard let it in
        share = call.known.caller.share
        try:
            self._supervisor.check(job)  # a job that can never run need not wait for its turn
            memory_bytes = limits_for(job, self._supervisor.host).memory_bytes or 0
            if share.memory_bytes is not None and memory_bytes > share.memory_bytes:
                rule = f"must be at most {share.memory_bytes}, the caller's share"
                raise JobError(Violation("limits.memory_bytes", rule))  # noqa: TRY301 - as the others
        except JobError as error:
            raise wire.in_request(error) from None
        call.policy = job.policy
        call.policy_digest = self._supervisor.host.policies[job.policy].digest
        turn = self._admission.slot(
            call.known.tenant, size_bytes, share=share, memory_bytes=memory_bytes
        )
        async with turn as queue_time:
            return await self._supervisor.run(job, queue_time=queue_time)


async def _digest(request: pb.RunRequest, size_bytes: int) -> str:
    if size_bytes > LARGE_BYTES:
        return await asyncio.to_thread(audit.job_digest, request)
    return audit.job_digest(request)


class ReadsRequests(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # only the stub has any
    """Reads the requests of our service, so that bytes which are no message are answered by us."""

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - gRPC's handler, which has no type
        """Give the method's handler, now one that takes bytes; others' methods are left alone."""
        handler = await continuation(handler_call_details)
        service, _, name = handler_call_details.method.removeprefix("/").rpartition("/")
        if handler is None or service != DESCRIPTOR.full_name:
            return handler
        kind = DESCRIPTOR.methods_by_name[name].input_type

        async def read(data: bytes, context: RunContext) -> Any:  # noqa: ANN401 - any answer
            async with answered(context):
                request = request_from(kind, data)
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            read, response_serializer=handler.response_serializer
        )
