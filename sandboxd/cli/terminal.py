"""`sandboxd run --terminal`: joins the caller's terminal and the program's."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sandboxd.kernel.terminals import resize
from sandboxd.model.job import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INPUT_FD = 0


def own_terminal() -> Terminal:
    """Describe the caller's terminal, for the program to get one of the same size."""
    with suppress(OSError):
        size = os.get_terminal_size(INPUT_FD)
        if size.lines and size.columns:  # a terminal may say that it does not know
            return Terminal(size.lines, size.columns)
    return Terminal()


@contextmanager
def joined() -> Iterator[Callable[[int], None]]:
    """Pass every key on, unchanged, while the context lasts; then the terminal is as before.

    Gives the function to call with the master of the program's terminal.
    """
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(INPUT_FD) if os.isatty(INPUT_FD) else None
    masters: list[int] = []

    def join(master_fd: int) -> None:
        masters.append(os.dup(master_fd))
        if before is not None:
            tty.setraw(INPUT_FD, termios.TCSADRAIN)  # what is typed already stays
        loop.add_signal_handler(signal.SIGWINCH, _follow_size, masters[0])
        with suppress(PermissionError):  # a plain file has no readiness: epoll refuses it
            loop.add_reader(INPUT_FD, _pass_on, masters[0])

    try:
        yield join
    finally:
        if masters:
            loop.remove_reader(INPUT_FD)
            loop.remove_signal_handler(signal.SIGWINCH)
            os.close(masters[0])
        if before is not None:
            termios.tcsetattr(INPUT_FD, termios.TCSADRAIN, before)
        sys.stdout.flush()


def _pass_on(master_fd: int) -> None:
    piece = os.read(INPUT_FD, 4096)
    if not piece:  # the end of our input is ^D on a terminal
        asyncio.get_running_loop().remove_reader(INPUT_FD)
        piece = b"\x04"
    with suppress(OSError):  # the program has just ended, or reads nothing of what is typed
        os.write(master_fd, piece)


def _follow_size(master_fd: int) -> None:
    with suppress(OSError):
        size = os.get_terminal_size(INPUT_FD)
        resize(master_fd, size.lines, size.columns)
