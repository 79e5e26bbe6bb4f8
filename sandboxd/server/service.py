"""The servicer: one call, one job; a thin line from message to value, slot, supervisor and back.

Decides nothing but which status an exception becomes, and that by the table in `wire_errors`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import traceback
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from grpc_status import rpc_status

from sandboxd.errors import HostError, JobError, SandboxdError, StageError
from sandboxd.server import wire
from sandboxd.server.wire_bytes import request_from
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from sandboxd.runtime.supervisor import Supervisor
    from sandboxd.server.admission import Admission

    RunContext = grpc.aio.ServicerContext[pb.RunRequest, pb.RunResponse]
    HostContext = grpc.aio.ServicerContext[pb.GetHostRequest, pb.GetHostResponse]

log = logging.getLogger(__name__)

LOCAL_TENANT = "unix"
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
                return await self._run(request, tenant_of(context.peer()))

    async def GetHost(  # noqa: N802
        self, _request: pb.GetHostRequest, context: HostContext
    ) -> pb.GetHostResponse:
        """Describe this host; needs no slot."""
        async with answered(context):
            return wire.to_host_response(self._supervisor.host)

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

    async def _run(self, request: pb.RunRequest, tenant: str) -> pb.RunResponse:
        job = wire.to_job(request)
        try:
            self._supervisor.check(job)  # a job that can never run need not wait for its turn
        except JobError as error:
            raise wire.in_request(error) from None
        async with self._admission.slot(tenant, request.ByteSize()) as queue_time:
            result = await self._supervisor.run(job, queue_time=queue_time)
        return wire.to_response(result)


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


@asynccontextmanager
async def answered(context: RunContext | HostContext) -> AsyncIterator[None]:
    """End the call with the status of whatever error is raised inside.

    Logs what is our fault: the place, never a message, as that may quote what a client sent.
    """
    try:
        yield
    except SandboxdError as error:
        if isinstance(error, StageError):
            name = errno.errorcode.get(error.errno, "no errno")
            log.error("cannot complete stage %s: %s", error.stage, name)  # noqa: TRY400
        await _abort(context, error)
    except Exception as error:  # noqa: BLE001 - the last line before the caller
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("cannot answer a call: %s\n%s", type(error).__name__, frames)  # noqa: TRY400
        await _abort(context, unexpected())


async def _abort(context: RunContext | HostContext, error: SandboxdError) -> NoReturn:
    status = rpc_status.to_status(wire.status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)


def unexpected() -> SandboxdError:
    """Give the error that stands for a defect of ours: its cause is in the log only."""
    error = SandboxdError("cannot answer: a defect of sandboxd; the server's log says where")
    error.reason = "UNEXPECTED"
    return error


def tenant_of(peer: str) -> str:
    """Name the tenant behind gRPC's peer: the client's address without its port.

    All who reach the unix socket are one tenant, as only its owner may.
    """
    if peer.startswith("unix"):
        return LOCAL_TENANT
    return peer.rpartition(":")[0]
