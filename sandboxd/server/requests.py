"""Reads the requests of our services, so that bytes which are no message are answered by us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from sandboxd.errors import JobError, Violation
from sandboxd.server import blob_service, job_service, sandbox_service, service
from sandboxd.server.wire_blobs import MAX_PIECE_BYTES
from sandboxd.server.wire_bytes import WHOLE_REQUEST, request_from

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from google.protobuf.descriptor import Descriptor

    Context = grpc.aio.ServicerContext[Any, Any]

ROOM_BYTES = 4096
"""For what is in a message beside its content."""
BLOBS_FILE = blob_service.DESCRIPTOR.file.name
QUESTIONS_OF_JOBS = {
    method.input_type.full_name
    for method in job_service.DESCRIPTOR.methods
    if method.name != "StartJob"
}
SERVICES = {
    one.full_name: one
    for one in (
        service.DESCRIPTOR,
        blob_service.DESCRIPTOR,
        job_service.DESCRIPTOR,
        sandbox_service.DESCRIPTOR,
    )
}
"""Ours, by their full names."""


class ReadsRequests(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # only the stub has any
    """Stands behind the guard."""

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
        method = (
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream
        )

        async def read_all(requests: AsyncIterator[bytes], context: Context) -> Any:  # noqa: ANN401 - any answer
            await open_answers(context)
            return await method(_read(kind, requests), context)

        async def read(data: bytes, context: Context) -> Any:  # noqa: ANN401 - any answer
            await open_answers(context)
            return await method(_message(kind, data), context)

        async def open_answers(context: Context) -> None:
            # Headers that go with a first answer which is cut go twice, and then no status at all.
            if handler.response_streaming:
                await context.send_initial_metadata(())

        if handler.request_streaming:
            from_many = (
                grpc.stream_stream_rpc_method_handler
                if handler.response_streaming
                else grpc.stream_unary_rpc_method_handler
            )
            return from_many(read_all, response_serializer=handler.response_serializer)
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
    """Read a request; one without a job needs no more than a piece does, and reading multiplies."""
    most = MAX_PIECE_BYTES + ROOM_BYTES
    is_small = kind.file.name == BLOBS_FILE or kind.full_name in QUESTIONS_OF_JOBS
    if is_small and len(data) > most:
        raise JobError(Violation(WHOLE_REQUEST, f"must have at most {most} bytes"))
    return request_from(kind, data)
