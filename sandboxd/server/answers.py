"""From whatever error is raised to the status that the caller gets, and to what the log may say."""

from __future__ import annotations

import asyncio
import errno
import logging
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from grpc_status import rpc_status

from sandboxd.errors import SandboxdError, StageError
from sandboxd.server import calls, wire_errors

if TYPE_CHECKING:
    from types import TracebackType

    Context = grpc.aio.ServicerContext[Any, Any]

log = logging.getLogger(__name__)


class Answered:
    """Ends the call with the status of whatever error is raised inside; stands around all of it.

    Logs what is our fault: the place, never a message, as that may quote what a client sent.
    """

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        """Take the call that is answered."""
        self._context = context

    async def __aenter__(self) -> None:
        """Begin."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Answer an error, if there is one."""
        if isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            await _abort(self._context, error_for(error))


def error_for(error: Exception) -> SandboxdError:
    """Give the error that the caller is told for whatever was raised; log what is our fault."""
    if isinstance(error, StageError):
        name = errno.errorcode.get(error.errno, "no errno")
        log.error("cannot complete stage %s: %s", error.stage, name)
    if isinstance(error, SandboxdError):
        return error
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("cannot answer a call: %s\n%s", type(error).__name__, frames)
    return _unexpected()


async def _abort(context: Context, error: SandboxdError) -> NoReturn:
    calls.current().reason = error.reason
    status = rpc_status.to_status(wire_errors.status_of(error))
    try:
        await context.abort(status.code, status.details, status.trailing_metadata)
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError:  # the caller has gone meanwhile
        raise asyncio.CancelledError from None


def _unexpected() -> SandboxdError:
    """Give the error that stands for a defect of ours: its cause is in the log only."""
    error = SandboxdError("cannot answer: a defect of sandboxd; the server's log says where")
    error.reason = "UNEXPECTED"
    return error
