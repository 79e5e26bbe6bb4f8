"""A job that runs live, in this process or at a server: our streams are the program's."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from typing import TYPE_CHECKING, Any, Self

import click

from sandboxd.cli.outcomes import BY_SIGNAL
from sandboxd.cli.terminal import joined, pass_on
from sandboxd.runtime.live import Live
from sandboxd.server.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import timedelta
    from types import TracebackType

    from sandboxd.attached import Attached
    from sandboxd.model.job import Job, Terminal
    from sandboxd.model.outcome import RunResult
    from sandboxd.runtime.launching import Launched
    from sandboxd.runtime.live import Piece

    Attaching = AbstractAsyncContextManager["Here"] | AbstractAsyncContextManager[Attached]


def run_live(job: Job, options: dict[str, Any], *, takes_input: bool) -> RunResult:
    """Run one job live: its output is ours; so is its input, where it `takes_input`.

    A signal that would end us asks it to end, and `--grace` later kills it; a second one at once.

    Raises:
        SandboxdError: as `Supervisor.run` or `Client.run`.
        Abort: a second signal came.

    """
    how = {"grace": options["grace"], "terminal": job.terminal, "takes_input": takes_input}
    if options["address"]:
        return talk(_there(job, options), **how)
    from sandboxd.runtime.launching import launched_ahead  # noqa: PLC0415 - not at a server

    with launched_ahead() as launched:
        return talk(Here(job, options, launched, takes_input=takes_input), **how)


def talk(
    attaching: Attaching,
    *,
    grace: timedelta,
    terminal: Terminal | None,
    takes_input: bool,
    take: Callable[[int, bytes], None] | None = None,
) -> RunResult:
    """Be joined to a program until its end; `take` gets its output in place of our streams.

    Raises:
        As `run_live`.

    """
    try:
        return asyncio.run(_talk(attaching, grace, terminal, takes_input, take or _write))
    except asyncio.CancelledError:
        raise click.Abort from None


@asynccontextmanager
async def _there(job: Job, options: dict[str, Any]) -> AsyncIterator[Attached]:
    """Have the program at a server, while the context lasts."""
    from sandboxd.cli.credentials import credentials  # noqa: PLC0415 - only for a server
    from sandboxd.client import Client  # noqa: PLC0415 - a job here needs no gRPC

    async with (
        Client(options["address"], **credentials(options)) as client,
        client.attach_job(job) as program,
    ):
        yield program


async def _talk(
    attaching: Attaching,
    grace: timedelta,
    terminal: Terminal | None,
    takes_input: bool,  # noqa: FBT001 - as `talk` has it
    take: Callable[[int, bytes], None],
) -> RunResult:
    async with attaching as program:
        _heed_signals(program, grace)
        with joined(program) if terminal else nullcontext():
            typing = asyncio.ensure_future(pass_on(program)) if takes_input else None
            try:
                async for piece in program:
                    await asyncio.to_thread(take, piece.stream, piece.data)
                return await program.result()
            finally:
                if typing is not None:
                    typing.cancel()


def _heed_signals(program: Here | Attached, grace: timedelta) -> None:
    """At the first signal have the program asked to end; at the second one leave."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    asked: list[asyncio.Task[None]] = []

    def heed() -> None:
        if asked and task is not None:
            task.cancel()
        asked.append(asyncio.ensure_future(program.cancel(grace=grace)))

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, heed)


def _write(stream: int, data: bytes) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(stream, left) :]
    except BrokenPipeError:  # as in any pipe: who writes ends
        raise click.exceptions.Exit(BY_SIGNAL + signal.SIGPIPE) from None


class Here:
    """A program that runs live in this process; offers what `Attached` does."""

    def __init__(
        self, job: Job, options: dict[str, Any], launched: Launched | None, *, takes_input: bool
    ) -> None:
        """Take the job, what the host shall be, and a launcher that was started ahead."""
        self._job = job
        self._options = options
        self._launched = launched
        self._takes_input = takes_input
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start it."""
        from sandboxd.cli.jobs import host_from  # noqa: PLC0415 - while the launcher starts
        from sandboxd.runtime.supervisor import Supervisor  # noqa: PLC0415 - the same

        supervisor = Supervisor(host_from(self._options), self._launched)
        await self._stack.enter_async_context(supervisor)
        self._pieces: Outbox[Piece] = Outbox(
            lambda is_full: self._live.pause_output(is_paused=is_full)
        )
        self._live = Live(self._put, takes_input=self._takes_input)
        self._running = asyncio.ensure_future(supervisor.run(self._job, live=self._live))
        self._running.add_done_callback(lambda _: self._pieces.close())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill it if it still runs, and end everything behind it."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._stack.aclose()

    def _put(self, piece: Piece) -> None:
        self._pieces.put(piece, len(piece.data))

    async def write(self, data: bytes) -> None:
        """Write to its standard input."""
        await self._live.write(data)

    async def end_input(self) -> None:
        """End its standard input."""
        await self._live.end_input()

    async def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size."""
        self._live.resize(rows, columns)

    async def cancel(self, *, grace: timedelta) -> None:
        """Ask it to end; kill it when it has not after the grace."""
        self._live.cancel(signal.SIGTERM, grace)

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Give its output as it comes."""
        return aiter(self._pieces)

    async def result(self) -> RunResult:
        """Wait for its end."""
        return await self._running
