"""A program that runs live at a server, as a client talks to it.

`async with client.attach(["cat"]) as program:` gives one, in a sandbox of its own or, by
`sandbox.exec`, in one that stays; it is written to, signalled, cancelled, and iterated over for its
output; `await program.result()` tells how it ended.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from queue import Full, Queue
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeAlias

import grpc

from sandboxd.errors import HostError
from sandboxd.server import wire_live
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from sandboxd.model.outcome import RunResult
    from sandboxd.v1.sandbox_service_pb2 import ExecRequest, ExecResponse

    Request: TypeAlias = pb.AttachRequest | ExecRequest
    Response: TypeAlias = pb.AttachResponse | ExecResponse

PIECE_BYTES = 1 << 20
"""Of input in one message."""
UNSENT_COUNT = 16
"""Messages that may wait to be sent, in plain code."""
LOOK_SECONDS = 0.1
"""Between two looks whether the call still takes any."""


class Output(NamedTuple):
    """A piece of what a program wrote."""

    stream: int
    """1 or 2: stdout or stderr."""
    offset: int
    """How many bytes of this stream came before."""
    time: timedelta
    """When it was read, since the program's exec."""
    data: bytes


class Caller(Protocol):
    """What a client does for a live job: calls, with its credentials and its errors."""

    def open(self, rpc: Any, timeout: timedelta | None, *requests: Any) -> Any:  # noqa: ANN401 - gRPC's call
        """Begin a call of two streams."""

    def error_of(self, error: Any) -> Exception:  # noqa: ANN401 - gRPC's error
        """Give what is raised for an error of gRPC."""


class _Heard:
    """What has come so far; pure."""

    def __init__(self) -> None:
        self.has_started = False
        self.result: RunResult | None = None

    def take(self, answer: Response) -> Output | None:
        """Take one answer; give it if it is output."""
        match answer.WhichOneof("event"):
            case "started":
                self.has_started = True
            case "output":
                return _output(answer.output)
            case "ended":
                self.result = wire_live.to_result(answer.ended)
            case _:  # of a newer server
                pass
        return None

    def over(self) -> RunResult:
        """Give the result, once nothing more comes."""
        if self.result is None:
            text = "cannot read the answer: it ended without the program's end"
            raise HostError("UNREADABLE_ANSWER", text, "use a client as new as the server")
        return self.result


def _output(message: pb.Output) -> Output:
    time: timedelta = message.time.ToTimedelta()
    return Output(int(message.stream), message.offset_bytes, time, message.data)


class _Words:
    """What may be said after the first message, as messages of its kind; pure."""

    def __init__(self, first: Request) -> None:
        self._kind = type(first)

    def pieces(self, data: bytes) -> Iterator[Request]:
        for start in range(0, len(data), PIECE_BYTES):
            yield self._kind(stdin=data[start : start + PIECE_BYTES])

    def end(self) -> Request:
        return self._kind(stdin_end=pb.StdinEnd())

    def signal(self, name: str) -> Request:
        return self._kind(signal=pb.SendSignal(name=name))

    def size(self, rows: int, columns: int) -> Request:
        return self._kind(window_size=pb.WindowSize(rows=rows, columns=columns))

    def cancel(self, signal: str, grace: timedelta) -> Request:
        request = self._kind(cancel=pb.Cancel(signal=signal))
        request.cancel.grace.FromTimedelta(grace)
        return request


GRACE = timedelta(seconds=10)


class Attached:
    """A live program of a `Client`; an async context, at whose end it is killed if it still runs.

    Iterating gives the output as it comes. A caller that does not iterate stops the program once
    its pipes are full.
    """

    def __init__(
        self,
        client: Caller,
        rpc: Any,  # noqa: ANN401 - any rpc that talks so
        first: Request,
        timeout: timedelta | None,
    ) -> None:
        """Take the first message, with the program; it is sent when the context is entered."""
        self._client = client
        self._rpc = rpc
        self._first = first
        self._words = _Words(first)
        self._timeout = timeout
        self._heard = _Heard()
        self._sending = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Send the program."""
        self._call = self._client.open(self._rpc, self._timeout)
        await self._send(self._first)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the call, and so the program."""
        self._call.cancel()

    async def write(self, data: bytes) -> None:
        """Write to its standard input; returns when it is on its way."""
        for request in self._words.pieces(data):
            await self._send(request)

    async def end_input(self) -> None:
        """End its standard input."""
        await self._send(self._words.end())

    async def signal(self, name: str) -> None:
        """Send a signal, by its name without SIG, to its process group."""
        await self._send(self._words.signal(name))

    async def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size."""
        await self._send(self._words.size(rows, columns))

    async def cancel(self, signal: str = "TERM", grace: timedelta = GRACE) -> None:
        """Send a signal, and kill everything when the grace has passed."""
        await self._send(self._words.cancel(signal, grace))

    async def __aiter__(self) -> AsyncIterator[Output]:
        """Give its output as it comes, to its end.

        Raises:
            As `Client.run`; RequestError for what was said and may not be.

        """
        try:
            async for answer in self._call:
                if (output := self._heard.take(answer)) is not None:
                    yield output
                elif self._heard.result is not None:
                    await self._say_no_more()
        except grpc.aio.AioRpcError as error:
            raise self._client.error_of(error) from None

    async def result(self) -> RunResult:
        """Wait for its end, past all output that was not taken; its output is not in the result.

        Raises:
            As iterating does.

        """
        async for _ in self:
            pass
        return self._heard.over()

    async def _send(self, request: Request) -> None:
        # It may have ended: what is read tells how.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            async with self._sending:
                if self._heard.result is None:
                    await self._call.write(request)

    async def _say_no_more(self) -> None:
        """End our words before the call ends: gRPC takes one under way for a broken connection."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            async with self._sending:
                await self._call.done_writing()


class SyncAttached:
    """The synchronous twin of `Attached`; one thread may write while another one reads."""

    def __init__(
        self,
        client: Caller,
        rpc: Any,  # noqa: ANN401 - any rpc that talks so
        first: Request,
        timeout: timedelta | None,
    ) -> None:
        """Take the first message, with the program; it is sent when the context is entered."""
        self._client = client
        self._rpc = rpc
        self._first = first
        self._words = _Words(first)
        self._timeout = timeout
        self._heard = _Heard()
        self._unsent: Queue[Request | None] = Queue(UNSENT_COUNT)

    def __enter__(self) -> Self:
        """Send the program."""
        self._unsent.put(self._first)
        # Never at its end by itself: the end of requests would be the end of input.
        self._call = self._client.open(self._rpc, self._timeout, iter(self._unsent.get, None))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the call, and so the program."""
        self._call.cancel()
        with suppress(Full):
            self._unsent.put_nowait(None)  # gRPC's thread waits for it

    def write(self, data: bytes) -> None:
        """Write to its standard input; returns when it is on its way."""
        for request in self._words.pieces(data):
            self._send(request)

    def end_input(self) -> None:
        """End its standard input."""
        self._send(self._words.end())

    def signal(self, name: str) -> None:
        """Send a signal, by its name without SIG, to its process group."""
        self._send(self._words.signal(name))

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size."""
        self._send(self._words.size(rows, columns))

    def cancel(self, signal: str = "TERM", grace: timedelta = GRACE) -> None:
        """Send a signal, and kill everything when the grace has passed."""
        self._send(self._words.cancel(signal, grace))

    def __iter__(self) -> Iterator[Output]:
        """Give its output as it comes, to its end; raises as `Attached` does."""
        try:
            for answer in self._call:
                if (output := self._heard.take(answer)) is not None:
                    yield output
                elif self._heard.result is not None:
                    self._send(None)
        except grpc.RpcError:
            raise self._client.error_of(self._call) from None

    def result(self) -> RunResult:
        """Wait for its end, past all output that was not taken; raises as `Attached` does."""
        for _ in self:
            pass
        return self._heard.over()

    def _send(self, request: Request | None) -> None:
        while self._call.is_active():  # else it has ended, and what is read tells how
            with suppress(Full):
                self._unsent.put(request, timeout=LOOK_SECONDS)
                return
