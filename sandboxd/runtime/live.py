"""The two directions of a job that runs live: what its caller says to it, and hears of it."""

from __future__ import annotations

import asyncio
from signal import SIGKILL
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sandboxd.runtime.feed import Feed


class Piece(NamedTuple):
    """A piece of what a program wrote."""

    stream: int
    """1 or 2: stdout or stderr."""
    offset: int
    """How many bytes of this stream came before."""
    time_ns: int
    """When it was read, since the program's exec."""
    data: bytes


class Started(Protocol):
    """A program that has started, as its run offers it."""

    def signal(self, number: int) -> None:
        """Send a signal to the program's process group."""

    def kill(self, limit: str | None) -> None:
        """Kill everything that the job started: for a limit, or because somebody wants it."""

    def pause_output(self, *, is_paused: bool) -> None:
        """Leave output in its pipes, or take it again."""

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size."""


class Live:
    """What a run is given to be talked to; good for one run.

    What is said before the program has started waits for that, of each word the latest; what is
    said after its end, or when it never starts, is dropped.
    """

    def __init__(
        self,
        on_piece: Callable[[Piece], None] | None,
        on_started: Callable[[timedelta, timedelta], None] = lambda *_: None,
        *,
        takes_input: bool = False,
    ) -> None:
        """Take what hears of each piece of output, and of the start (time in queue, of set-up).

        Neither may block. Without `on_piece` output is kept for the result, as of any other job.
        With `takes_input` the program reads what `write` says, up to `end_input`; without, what its
        job says.
        """
        self.on_piece = on_piece
        self.on_started = on_started
        self.takes_input = takes_input
        self.ended_ns = 0
        """The monotonic clock at the program's end, once it has ended."""
        self._program: Started | None = None
        self._feed: Feed | None = None
        self._is_over = False
        self._held_back: dict[str, Callable[[Started], None]] = {}
        self._changed = asyncio.Event()
        self._cancelling: asyncio.TimerHandle | None = None

    async def write(self, data: bytes) -> None:
        """Write to the program's input; returns when all is in its pipe, or nobody reads it."""
        if (feed := await self._fed()) is not None:
            await feed.write(data)

    async def end_input(self) -> None:
        """End the program's input."""
        if (feed := await self._fed()) is not None:
            await feed.end()

    def signal(self, number: int) -> None:
        """Send a signal to the program's process group."""
        self._say(f"signal {number}", lambda program: program.signal(number))

    def resize(self, rows: int, columns: int) -> None:
        """Tell the program's terminal its size."""
        self._say("resize", lambda program: program.resize(rows, columns))

    def pause_output(self, *, is_paused: bool) -> None:
        """Leave output in its pipes, so that the program waits; or take it again."""
        self._say("pause", lambda program: program.pause_output(is_paused=is_paused))

    def kill(self, limit: str | None = None) -> None:
        """Kill everything that the job started: for a limit, or because somebody wants it."""
        self._say("kill", lambda program: program.kill(limit))

    def cancel(self, number: int, grace: timedelta) -> None:
        """Send a signal, and kill everything when the grace has passed."""
        self._say("cancel", lambda program: self._cancel(program, number, grace))

    # --- for the run ------------------------------------------------------------------------------

    def feed(self, feed: Feed) -> None:
        """Take over what leads to the input of a program that will start."""
        self._feed = feed

    def start(self, program: Started, queue_time: timedelta, setup_time: timedelta) -> None:
        """Begin: the program has started."""
        self._program = program
        self._changed.set()
        self.on_started(queue_time, setup_time)
        for say in self._held_back.values():
            say(program)
        self._held_back.clear()

    def stop(self) -> None:
        """End: this program listens no more; where it has not started, another one may yet."""
        self._program = None
        if self._feed is not None:
            self._feed.close()
        if self._cancelling is not None:
            self._cancelling.cancel()

    def finish(self) -> None:
        """End: no program listens any more."""
        self._is_over = True
        self._held_back.clear()
        self._changed.set()

    # ----------------------------------------------------------------------------------------------

    def _say(self, word: str, say: Callable[[Started], None]) -> None:
        if self._program is not None:
            say(self._program)
        elif not self._is_over:
            self._held_back.pop(word, None)  # so that it comes last
            self._held_back[word] = say

    def _cancel(self, program: Started, number: int, grace: timedelta) -> None:
        if number == SIGKILL or not grace:
            program.kill(None)
            return
        program.signal(number)
        if self._cancelling is not None:  # the latest word holds
            self._cancelling.cancel()
        loop = asyncio.get_running_loop()
        self._cancelling = loop.call_later(grace.total_seconds(), program.kill, None)

    async def _fed(self) -> Feed | None:
        """Wait for the way to the program's input; None when there is none, or no more."""
        await self._changed.wait()
        return None if self._is_over else self._feed
