"""The guard: stands before each servicer, and reads no request before it knows who calls.

Decides nothing itself: `access` says who calls and whether they may, `audit` writes it down.
"""

from __future__ import annotations

from contextlib import nullcontext
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import grpc

from sandboxd.errors import JobError, Violation
from sandboxd.server import audit, calls
from sandboxd.server.access import OPEN, Access, Peer
from sandboxd.server.answers import Answered
from sandboxd.server.wire_bytes import WHOLE_REQUEST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractContextManager

    Context = grpc.aio.ServicerContext[Any, Any]

CERTIFICATE_NAMES = ("x509_common_name", "x509_subject_alternative_name")


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # only the stub has any
    """Lets calls through whose caller is known and has the right; all others end here."""

    def __init__(self, access: Access, uid_of: Callable[[str], int | None]) -> None:
        """Take who may call; `uid_of` knows the users behind peers that came through a gate."""
        self._access = access
        self._uid_of = uid_of

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - gRPC's handler, which has no type
        """Give the method's handler, now one that the guard stands before.

        To gRPC one request is a stream of requests, too: only so is the handler called before the
        request has been received.
        """
        handler = await continuation(handler_call_details)
        details = handler_call_details
        if handler is None or details.method in OPEN:
            return handler

        method = handler.unary_unary or handler.unary_stream or handler.stream_unary
        if iscoroutinefunction(handler.stream_stream):  # ours; reflection's is a generator
            method = handler.stream_stream

        async def whole(requests: Any, context: Context) -> Any:  # noqa: ANN401 - any answer
            call, peer = self._begin(details, context)
            with _recorded(call, context):
                async with Answered(context):
                    self._let_in(call, peer, details, context)
                    if not handler.request_streaming:
                        requests = await _only_request(context)
                    return await method(requests, context)

        async def stream(requests: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401 - any request
            call, peer = self._begin(details, context)
            with _recorded(call, context):
                async with Answered(context):
                    self._let_in(call, peer, details, context)
                async for answer in handler.stream_stream(requests, context):
                    yield answer

        kind = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return kind(
            whole if method else stream, handler.request_deserializer, handler.response_serializer
        )

    def _begin(self, details: grpc.HandlerCallDetails, context: Context) -> tuple[calls.Call, Peer]:
        peer = Peer(context.peer(), self._uid_of)
        call = calls.Call(details.method, "unix" if peer.is_unix else "tcp")
        calls.begin(call)
        return call, peer

    def _let_in(
        self, call: calls.Call, peer: Peer, details: grpc.HandlerCallDetails, context: Context
    ) -> None:
        names = _certificate_names(context)
        call.known = self._access.know(details.invocation_metadata or (), peer, names)
        self._access.check(call.known, details.method)


def _recorded(call: calls.Call, context: Context) -> AbstractContextManager[None]:
    return audit.recorded(call, context) if call.method in audit.EVENTS else nullcontext()


async def _only_request(context: Context) -> Any:  # noqa: ANN401 - bytes, or what they were made into
    data = await context.read()
    if data is grpc.aio.EOF:  # type: ignore[attr-defined]  # no stub has it
        raise JobError(Violation(WHOLE_REQUEST, "must be sent"))
    return data


def _certificate_names(context: Context) -> list[str]:
    """Give the names in the client's certificate, which TLS has verified."""
    about = context.auth_context()
    return [
        name.decode(errors="replace") for key in CERTIFICATE_NAMES for name in about.get(key, ())
    ]
