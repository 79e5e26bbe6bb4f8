"""One job that runs live, between the two streams of its call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from sandboxd.errors import RequestError, StreamIdle, Violation
from sandboxd.runtime.live import Live
from sandboxd.server import wire_live
from sandboxd.server.outbox import Outbox
from sandboxd.server.wire_live import MAX_LIVE_PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sandboxd.model.outcome import RunResult
    from sandboxd.v1 import runner_service_pb2 as pb

    Requests = AsyncIterator[pb.AttachRequest]
    Write = Callable[[pb.AttachResponse], Awaitable[None]]

T = TypeVar("T")

MAX_UNREAD_BYTES = 1 << 20
"""Of input that the program does not read yet; beyond it nothing more is heard."""
HELD_BYTES = MAX_UNREAD_BYTES + 2 * MAX_LIVE_PIECE_BYTES
"""Of input, at the most, for a job that reads none: a piece more, and one in gRPC's hands."""
FIRST_SECONDS = 60.0
"""In which the first message must come: until then nothing bounds the call."""
LINGER_SECONDS = 0.2
"""From the last answer to the call's end, unless the caller ends what it says before."""
LAST_SECONDS = 60.0
"""In which a piece must be taken when the program has ended: its limits bound the call no more."""


async def first(requests: AsyncIterator[T], name: str = "job") -> T:
    """Give the first message, which brings what is called so.

    Raises:
        JobError: there is none.
        StreamIdle: it does not come.

    """
    try:
        async with asyncio.timeout(FIRST_SECONDS):
            async for request in requests:
                return request
    except TimeoutError:
        raise StreamIdle(f"cannot wait longer than {FIRST_SECONDS:g} s for the {name}") from None
    raise RequestError(Violation(name, "must be in the first message"))


async def attached(
    run: Callable[[Live], Awaitable[RunResult]],
    requests: Requests,
    write: Write,
    *,
    takes_input: bool,
) -> RunResult:
    """Run a job, pass on what its caller says and what it says, and give its result.

    `write` sends one answer, and waits until it is on its way.

    Raises:
        SandboxdError: as `run`; the caller says what it may not; it takes nothing after the end.

    """
    outbox: Outbox[pb.AttachResponse] = Outbox(lambda is_full: live.pause_output(is_paused=is_full))
    live = Live(
        lambda piece: outbox.put(wire_live.from_piece(piece), len(piece.data)),
        lambda *times: outbox.put(wire_live.from_started(*times)),
        takes_input=takes_input,
    )
    running = asyncio.ensure_future(run(live))
    listening = asyncio.ensure_future(_listen(requests, live, takes_input=takes_input))
    writing = asyncio.ensure_future(_write(outbox, write))
    work = (running, listening, writing)
    try:
        await asyncio.wait((running, listening), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await listening  # all is said, or something wrong: then the job is killed for it
        result = await running
        outbox.put(wire_live.from_end(result))
        outbox.close()
        await _taken(writing, outbox)
        # A client that still says something when the call ends may take that for a broken one.
        await asyncio.wait((listening,), timeout=LINGER_SECONDS)
        return result
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


async def _write(outbox: Outbox[pb.AttachResponse], write: Write) -> None:
    async for message in outbox:
        await write(message)


async def _taken(writing: asyncio.Future[None], outbox: Outbox[pb.AttachResponse]) -> None:
    """Wait until all is written, for as long as something is."""
    while not writing.done():
        before = outbox.taken_count
        await asyncio.wait((writing,), timeout=LAST_SECONDS)
        if not writing.done() and outbox.taken_count == before:
            text = f"cannot wait longer than {LAST_SECONDS:g} s for the caller to take the output"
            raise StreamIdle(text)
    await writing


async def _listen(requests: Requests, live: Live, *, takes_input: bool) -> None:
    """Take all that the caller says; what the program does not read yet waits apart from it."""
    roomy = asyncio.Event()
    roomy.set()
    inbox: Outbox[bytes] = Outbox(
        lambda is_full: roomy.clear() if is_full else roomy.set(), MAX_UNREAD_BYTES
    )
    feeding = asyncio.ensure_future(_feed(inbox, live))
    try:
        async for request in requests:
            _take(request, live, inbox, takes_input=takes_input)
            await roomy.wait()
        inbox.close()
        await feeding
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _feed(inbox: Outbox[bytes], live: Live) -> None:
    async for piece in inbox:
        await live.write(piece)
    await live.end_input()


def _take(
    request: pb.AttachRequest, live: Live, inbox: Outbox[bytes], *, takes_input: bool
) -> None:
    """Do what one message says."""
    match wire_live.to_input(request, takes_input=takes_input):
        case "stdin" if inbox.is_closed:
            raise RequestError(Violation("stdin", "must not come after stdin_end"))
        case "stdin":
            inbox.put(request.stdin, len(request.stdin))
        case "stdin_end":
            inbox.close()
        case "signal":
            live.signal(wire_live.to_signal(request.signal.name))
        case "window_size":
            live.resize(*wire_live.to_size(request.window_size))
        case "cancel":
            wanted = wire_live.to_cancelling(request.cancel)
            live.cancel(wanted.signal, wanted.grace)
