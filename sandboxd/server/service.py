"""The servicer: one call, one job; a thin line from message to value, slot, supervisor and back."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from sandboxd.errors import HostError, JobError, Violation
from sandboxd.model.job import uses_blobs
from sandboxd.server import audit, blob_service, calls, wire
from sandboxd.server.job_blobs import placed_blob_bytes
from sandboxd.server.wire_blobs import MAX_PIECE_BYTES
from sandboxd.server.wire_bytes import WHOLE_REQUEST, request_from
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta

    from google.protobuf.descriptor import Descriptor

    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult
    from sandboxd.runtime.supervisor import Supervisor
    from sandboxd.server.admission import Admission
    from sandboxd.server.board import Counts
    from sandboxd.server.job_blobs import JobBlobs

    RunContext = grpc.aio.ServicerContext[pb.RunRequest, pb.RunResponse]
    HostContext = grpc.aio.ServicerContext[pb.GetHostRequest, pb.GetHostResponse]

LARGE_BYTES = 1 << 20
"""A request above this is digested in a thread, so that nobody waits for it."""
ROOM_BYTES = 4096
"""For what is in a message beside its content."""
BLOBS_FILE = blob_service.DESCRIPTOR.file.name
DESCRIPTOR = pb.DESCRIPTOR.services_by_name["RunnerService"]
SERVICES = {one.full_name: one for one in (DESCRIPTOR, blob_service.DESCRIPTOR)}
"""Ours, by their full names."""


class RunnerService(pb_grpc.RunnerServiceServicer):
    """Serves `sandboxd.v1.RunnerService` with one supervisor behind one queue.

    What it raises, the guard before it answers.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        admission: Admission,
        counts: Callable[[], Counts],
        blobs: JobBlobs,
    ) -> None:
        """Take what runs jobs, what decides when, what counts them, and their blobs."""
        self._supervisor = supervisor
        self._admission = admission
        self._counts = counts
        self._blobs = blobs
        self._calls: set[asyncio.Task[Any] | None] = set()
        self._cut_short = False

    async def Run(self, request: pb.RunRequest, _context: RunContext) -> pb.RunResponse:  # noqa: N802
        """Run one job to its end; cancelling the call cancels the job, then frees its slot."""
        with self._until_cut_short():
            return await self._run(request, calls.current())

    async def GetHost(  # noqa: N802
        self, _request: pb.GetHostRequest, _context: HostContext
    ) -> pb.GetHostResponse:
        """Describe this host; needs no slot."""
        return wire.to_host_response(self._supervisor.host, self._counts())

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
        # A job that can never run need not wait for its turn.
        with _in_request():
            memory_bytes = self._supervisor.check(job).memory_bytes or 0
            _check_share(call, memory_bytes)
        call.policy = job.policy
        call.policy_digest = self._supervisor.host.policies[job.policy].digest
        if uses_blobs(job):
            with _in_request():
                return await self._run_with_blobs(job, call, size_bytes, memory_bytes)
        async with self._turn(call, size_bytes, memory_bytes) as queue_time:
            return await self._supervisor.run(job, queue_time=queue_time)

    async def _run_with_blobs(
        self, job: Job, call: calls.Call, size_bytes: int, memory_bytes: int
    ) -> RunResult:
        """Hold the job's blobs, run it, store what it wants stored."""
        assert call.known is not None  # noqa: S101 - the guard let it in
        tenant, share = call.known.tenant, call.known.caller.share
        async with self._blobs.held(job, tenant) as held:
            memory_bytes += placed_blob_bytes(held.job)
            _check_share(call, memory_bytes)
            # What is stored is in memory until then: so before somebody else has the turn.
            async with self._turn(call, size_bytes, memory_bytes) as queue_time:
                async with self._blobs.opened(held) as opened:
                    result = await self._supervisor.run(
                        opened.job, queue_time=queue_time, blob_fds=opened.fds
                    )
                return await self._blobs.stored(result, job, tenant, share)

    def _turn(
        self, call: calls.Call, size_bytes: int, memory_bytes: int
    ) -> AbstractAsyncContextManager[timedelta]:
        assert call.known is not None  # noqa: S101 - the guard let it in
        share = call.known.caller.share
        return self._admission.slot(
            call.known.tenant, size_bytes, share=share, memory_bytes=memory_bytes
        )


@contextmanager
def _in_request() -> Iterator[None]:
    """Name the fields of a job that is refused by their paths in the request."""
    try:
        yield
    except JobError as error:
        raise wire.in_request(error) from None


def _check_share(call: calls.Call, memory_bytes: int) -> None:
    """Refuse a job that needs more memory, its blobs too, than its caller may ever have."""
    assert call.known is not None  # noqa: S101 - the guard let it in
    most = call.known.caller.share.memory_bytes
    if most is not None and memory_bytes > most:
        rule = f"must be at most {most}, the caller's share, with the blobs among its files"
        raise JobError(Violation("limits.memory_bytes", rule))


async def _digest(request: pb.RunRequest, size_bytes: int) -> str:
    if size_bytes > LARGE_BYTES:
        return await asyncio.to_thread(audit.job_digest, request)
    return audit.job_digest(request)


class ReadsRequests(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # only the stub has any
    """Reads the requests of our services, so that bytes which are no message are answered by us.

    Stands behind the guard.
    """

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - gRPC's handler, which has no type
        """Give the method's handler, now one that takes bytes; others' methods are left alone."""
        handler = await continuation(handler_call_details)
        service, _, name = handler_call_details.method.removeprefix("/").rpartition("/")
        if handler is None or service not in SERVICES:
            return handler
        kind = SERVICES[service].methods_by_name[name].input_type
        method = handler.unary_unary or handler.unary_stream or handler.stream_unary

        async def read_all(requests: AsyncIterator[bytes], context: RunContext) -> Any:  # noqa: ANN401 - any answer
            return await method(_read(kind, requests), context)

        async def read(data: bytes, context: RunContext) -> Any:  # noqa: ANN401 - any answer
            return await method(_message(kind, data), context)

        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                read_all, response_serializer=handler.response_serializer
            )
        answers = (
            grpc.unary_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return answers(read, response_serializer=handler.response_serializer)


async def _read(kind: Descriptor, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for data in requests:
        yield _message(kind, data)


def _message(kind: Descriptor, data: bytes) -> Any:  # noqa: ANN401 - any request
    """Read a request; one about blobs needs no more than a piece does, and reading multiplies."""
    most = MAX_PIECE_BYTES + ROOM_BYTES
    if kind.file.name == BLOBS_FILE and len(data) > most:
        raise JobError(Violation(WHOLE_REQUEST, f"must have at most {most} bytes"))
    return request_from(kind, data)
