"""A worker's seat: its number among the others, its line to the parent, its row on the board.

To the worker's server the parent is the service manager: it is told READY and STOPPING, and the
row on the board shows that the event loop turns. Connections of unix sockets come by the line.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NoReturn, Self

from sandboxd.errors import HostError
from sandboxd.server.board import Board
from sandboxd.server.systemd import Manager

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.server.board import Counts

ENTERED = "ENTERED=1"
"""Word of a worker that has its launcher and its cgroups, and is root no more."""
READY = "READY=1"
STOPPING = "STOPPING=1"
BEAT_SECONDS = 0.2
"""How old a worker's row on the board may be."""
MAX_WORDS_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Orders:
    """Where a worker shall serve."""

    tcp: tuple[str, ...]
    """Addresses that all workers share; the parent holds their ports."""
    inner: str
    """Path of gRPC's own socket, behind connections that are handed over; empty: none will be."""
    is_open: bool
    """Whether users other than the server's own can reach the unix sockets."""

    def encoded(self) -> bytes:
        """Give the message that carries them."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decoded(cls, message: bytes) -> Self:
        """Read the message that carries them."""
        values = json.loads(message)
        return cls(tuple(values["tcp"]), values["inner"], values["is_open"])


class Seat(Manager):
    """Where one worker sits."""

    def __init__(self, index: int, count: int, line: socket.socket, board: Board) -> None:
        """Take which one of how many it is, and what it shares with its parent."""
        super().__init__(None, None)
        self.index = index
        self.count = count
        self._line = line
        self._board = board
        self._gone_count = 0

    @classmethod
    def taken(cls, text: str, count: int) -> Self:
        """Take the seat that the parent's words on the command line describe (`described`)."""
        index, line_fd, board_fd = map(int, text.split(","))
        for fd in (line_fd, board_fd):
            os.set_inheritable(fd, False)  # noqa: FBT003 - the call's one argument
        line = socket.socket(fileno=line_fd)
        line.settimeout(0)
        return cls(index, count, line, Board(board_fd, count))

    def tell(self, *assignments: str) -> None:
        """Tell the parent."""
        with suppress(OSError):  # gone: `attend` notices
            self._line.send("\n".join(assignments).encode())

    async def ask_orders(self) -> Orders:
        """Say that the worker is ready for them, and wait.

        Raises:
            HostError: the parent is gone.

        """
        self.tell(ENTERED)
        message = await asyncio.get_running_loop().sock_recv(self._line, MAX_WORDS_BYTES)
        return Orders.decoded(message) if message else _orphaned()

    def attend(self, enter: Callable[[socket.socket], None], lost: Callable[[], None]) -> None:
        """From now on pass on each connection that is handed over; call `lost` with no parent."""

        def hear() -> None:
            try:
                word, fds, _, _ = socket.recv_fds(self._line, 1, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                word, fds = b"", []
            for fd in fds:
                enter(socket.socket(fileno=fd))
            if word and not fds:  # we have no descriptor left: the kernel has closed it
                self.count_out()
            if not word:
                self.leave()
                lost()

        asyncio.get_running_loop().add_reader(self._line, hear)

    def leave(self) -> None:
        """Hear nothing more from the parent."""
        asyncio.get_running_loop().remove_reader(self._line)

    def count_out(self) -> None:
        """Count one of the handed connections as gone, so that the parent spreads them evenly."""
        self._gone_count += 1

    def total(self, own: Counts) -> Counts:
        """Give the counts of all workers together; the others' are `BEAT_SECONDS` old at most."""
        self._board.write(self.index, own, self._gone_count)
        return self._board.total()

    async def beat(self, own: Callable[[], Counts]) -> None:
        """Keep the row on the board fresh, for as long as this runs."""
        while True:
            self._board.write(self.index, own(), self._gone_count)
            await asyncio.sleep(BEAT_SECONDS)


def described(index: int, line_fd: int, board_fd: int) -> str:
    """Describe a seat on a worker's command line."""
    return f"{index},{line_fd},{board_fd}"


def _orphaned() -> NoReturn:
    raise HostError("NO_PARENT", "cannot serve: the parent of this worker is gone", "start it anew")
