"""A program's live standard input: what its caller writes, as fast as the program reads it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress

from sandboxd.runtime.capture import PIPE_BYTES

END_OF_FILE = b"\x04"
"""What ends the input of a terminal: the character that ^D types."""


class Feed:
    """The writing end of a pipe, or a terminal's master; for one writer at a time."""

    def __init__(self, fd: int, *, is_terminal: bool = False) -> None:
        """Take over the descriptor."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._is_terminal = is_terminal
        self._is_enlarged = is_terminal
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether nobody reads any more, or it was ended."""
        return self._fd < 0

    async def write(self, data: bytes) -> None:
        """Write all of it; returns early when nobody reads any more."""
        left = memoryview(data)
        while left and self._fd >= 0:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                if not self._enlarged():
                    await self._writable()
            except OSError:  # EPIPE: all readers are gone; EIO: the terminal's
                self.close()

    async def end(self) -> None:
        """Let the program see the end of its input."""
        if self._is_terminal:
            await self.write(END_OF_FILE)
        else:
            self.close()

    def close(self) -> None:
        """Let go of it; whoever writes returns. May be called twice."""
        if self._fd < 0:
            return
        if self._waiter is not None:
            asyncio.get_running_loop().remove_writer(self._fd)
            if not self._waiter.done():
                self._waiter.set_result(None)
        os.close(self._fd)
        self._fd = -1

    def _enlarged(self) -> bool:
        """Let a pipe that was found full hold more, once, so that it takes fewer turns."""
        if self._is_enlarged:
            return False
        self._is_enlarged = True
        with suppress(OSError):  # the user's share of pipes is used up
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            return True
        return False

    async def _writable(self) -> None:
        loop, fd = asyncio.get_running_loop(), self._fd
        self._waiter = waiter = loop.create_future()
        loop.add_writer(fd, _wake, waiter)
        try:
            await waiter
        finally:
            if self._fd == fd:  # else it is closed, and its number perhaps somebody else's
                loop.remove_writer(fd)
            self._waiter = None


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
