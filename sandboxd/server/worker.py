"""One worker as its parent sees it: a process, a line to it, and what it has said.

The parent never forks after that: a worker is a new interpreter, started as the parent was.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.server.seat import MAX_WORDS_BYTES, READY, STOPPING, described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandboxd.server.board import Board
    from sandboxd.server.seat import Orders

ENV_PREFIX = "SANDBOXD_"


class WorkerEndedError(Exception):
    """A worker ended while something else was expected of it."""

    def __init__(self, code: int) -> None:
        """Carry the exit code; below zero, the signal that ended it."""
        super().__init__(code)
        self.code = code


class Worker:
    """One process; belongs to the event loop that runs when it is started."""

    def __init__(self, index: int, arguments: Sequence[str], config_fd: int, board: Board) -> None:
        """Start it: `sandboxd ARGUMENTS --config ... --seat ...`.

        Raises:
            HostError: there is no process to be had.

        """
        self.index = index
        self._board = board
        self._handed_count = 0
        self._words: set[str] = set()
        self._code: int | None = None
        self._reload_is_due = False
        self._news = asyncio.Event()
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(0)
        seat = described(index, theirs.fileno(), board.fd)
        own = ("--config", f"/proc/self/fd/{config_fd}", "--seat", seat)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                    [*as_we_were_started(), *arguments, *own],
                    pass_fds=(theirs.fileno(), board.fd, config_fd),
                    stdin=subprocess.DEVNULL,
                    # Else a terminal's Ctrl-C would reach it twice, and the second is for haste.
                    process_group=0,
                    env={n: v for n, v in os.environ.items() if not n.startswith(ENV_PREFIX)},
                )
            except OSError as error:
                self._line.close()
                text = f"cannot start worker {index}: {error}"
                raise HostError(
                    "WORKER_UNAVAILABLE", text, "raise TasksMax=, or free memory"
                ) from error
        self._pidfd = os.pidfd_open(self._process.pid)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, self._bury)
        loop.add_reader(self._line, self._hear)

    @property
    def is_ready(self) -> bool:
        """Whether it serves, if only to say that it is leaving."""
        return READY in self._words and self._code is None

    @property
    def is_leaving(self) -> bool:
        """Whether it has begun to leave."""
        return STOPPING in self._words

    @property
    def connection_count(self) -> int:
        """How many of the connections that it was handed it still has."""
        return self._handed_count - self._board.gone_count(self.index)

    async def until(self, word: str) -> None:
        """Wait until it has said something.

        Raises:
            WorkerEndedError: it ends without.

        """
        while word not in self._words:
            if self._code is not None:
                raise WorkerEndedError(self._code)
            await self._change()

    async def ended(self) -> int:
        """Wait for its end; give the exit code, below zero the signal that ended it."""
        while self._code is None:
            await self._change()
        return self._code

    def order(self, orders: Orders) -> None:
        """Tell it where to serve."""
        with suppress(OSError):  # it is gone: whoever waits for it notices
            self._line.send(orders.encoded())

    def hand(self, client: socket.socket) -> bool:
        """Give it a connection; tell whether it could be given."""
        try:
            socket.send_fds(self._line, [b"c"], [client.fileno()])
        except OSError:
            return False
        self._handed_count += 1
        return True

    def signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self._code is None:
            signal.pidfd_send_signal(self._pidfd, number)

    def reload(self) -> None:
        """Have it read again what may change while it serves: at once, or as soon as it serves."""
        self._reload_is_due = not self.is_ready
        if self.is_ready:
            self.signal(signal.SIGHUP)

    def _bury(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        loop.remove_reader(self._line)
        self._code = self._process.wait()
        os.close(self._pidfd)
        self._line.close()
        self._board.clear(self.index)
        self._news.set()

    def _hear(self) -> None:
        try:
            message = self._line.recv(MAX_WORDS_BYTES)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:  # it ends: the pidfd tells when
            asyncio.get_running_loop().remove_reader(self._line)
        self._words.update(message.decode().split("\n"))
        if self._reload_is_due and self.is_ready:
            self.reload()
        self._news.set()

    async def _change(self) -> None:
        self._news.clear()
        await self._news.wait()


def as_we_were_started() -> list[str]:
    """Give the command line by which this interpreter came to be `sandboxd`, without arguments.

    With its options, such as -I: a worker must not look for code where its parent does not.
    """
    own = len(sys.orig_argv) - len(sys.argv) + 1
    return [sys.executable, *sys.orig_argv[1:own]]
