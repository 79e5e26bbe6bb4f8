"""Our own terminal and standard input, as they go to a program that runs live."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from sandboxd.model.job import Terminal
from sandboxd.runtime.nursery import readable

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUT_FD = 0
PIECE_BYTES = 64 << 10


class Program(Protocol):
    """A program that runs live, here or at a server."""

    async def write(self, data: bytes, /) -> None:
        """Write to its standard input."""

    async def end_input(self) -> None:
        """End its standard input."""

    async def resize(self, rows: int, columns: int, /) -> None:
        """Tell its terminal the size."""


def own_terminal() -> Terminal:
    """Describe the caller's terminal, for the program to get one of the same size."""
    with suppress(OSError):
        size = os.get_terminal_size(INPUT_FD)
        if size.lines and size.columns:  # a terminal may say that it does not know
            return Terminal(size.lines, size.columns)
    return Terminal()


@contextmanager
def joined(program: Program) -> Iterator[None]:
    """Pass every key and each new size on while the context lasts; then all is as before."""
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(INPUT_FD) if os.isatty(INPUT_FD) else None
    if before is not None:
        tty.setraw(INPUT_FD, termios.TCSADRAIN)  # what is typed already stays
        loop.add_signal_handler(signal.SIGWINCH, _follow_size, program)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        if before is not None:
            termios.tcsetattr(INPUT_FD, termios.TCSADRAIN, before)
        sys.stdout.flush()


async def pass_on(program: Program) -> None:
    """Write our standard input to a program's, as fast as it takes it, and then end that."""
    while piece := await _typed():
        await program.write(piece)
    await program.end_input()


async def _typed() -> bytes:
    """Give the next bytes of our standard input, as soon as there are any; none at its end."""
    with suppress(PermissionError):  # a plain file has no readiness: epoll refuses it
        await readable(INPUT_FD)
    return os.read(INPUT_FD, PIECE_BYTES)


def _follow_size(program: Program) -> None:
    with suppress(OSError):
        size = os.get_terminal_size(INPUT_FD)
        task = asyncio.ensure_future(program.resize(size.lines, size.columns))
        _resizing.add(task)
        task.add_done_callback(_resizing.discard)


_resizing: set[asyncio.Task[None]] = set()
"""The loop holds its tasks by weak references only."""
