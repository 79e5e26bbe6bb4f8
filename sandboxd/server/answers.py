"""From whatever error is raised to the status that the caller gets, and to what the log may say."""

from __future__ import annotations

import errno
import logging
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from grpc_status import rpc_status

from sandboxd.errors import SandboxdError, StageError
from sandboxd.server import calls, wire_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

log = logging.getLogger(__name__)


@asynccontextmanager
async def answered(context: Context) -> AsyncIterator[None]:
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
        await _abort(context, _unexpected())


async def _abort(context: Context, error: SandboxdError) -> NoReturn:
    calls.current().reason = error.reason
    status = rpc_status.to_status(wire_errors.status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)


def _unexpected() -> SandboxdError:
    """Give the error that stands for a defect of ours: its cause is in the log only."""
    error = SandboxdError("cannot answer: a defect of sandboxd; the server's log says where")
    error.reason = "UNEXPECTED"
    return error
