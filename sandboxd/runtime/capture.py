"""Output pumps: keep the first bytes that a stream wrote, count and drop the rest.

A program that writes without end costs the daemon a bounded buffer and no copy: what is dropped
is spliced from the pipe to /dev/null inside the kernel.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sandboxd.model.outcome import Captured

if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES = 64 << 10
DROP_BYTES = 1 << 20
"""How much is dropped at once, and the pipe's size for it."""


class Capture:
    """One pipe from its making to its end of file."""

    def __init__(
        self,
        limit: int,
        on_kept: Callable[[bytes], None] | None,
        on_overflow: Callable[[], None],
        master_fd: int | None = None,
    ) -> None:
        """Make the pipe, or take over a terminal's master.

        Calls back with each kept piece, and once when the limit is passed.
        """
        if master_fd is None:
            self._read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
            # The program is not the pipe's owner: only this mode lets it open /dev/stdout.
            os.fchmod(self.write_fd, 0o666)
        else:
            self._read_fd, self.write_fd = master_fd, -1
        os.set_blocking(self._read_fd, False)
        self._limit = limit
        self._on_kept = on_kept
        self._on_overflow = on_overflow
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._total_bytes = 0
        self._null_fd = -1
        self._is_terminal = master_fd is not None
        self._overflowed = False
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._read_fd, self._pump)

    def hand_over(self) -> None:
        """Close our copy of the writing end, once the program has its own."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    async def finish(self, patience: float) -> Captured:
        """Wait for the end of file, for `patience` seconds at most, and give what was kept."""
        if not self._end.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._end
        truncated = self._total_bytes > self._kept_bytes
        return Captured(b"".join(self._kept), self._total_bytes, truncated)

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        self.hand_over()
        if self._read_fd >= 0:
            self._loop.remove_reader(self._read_fd)
            os.close(self._read_fd)
            self._read_fd = -1
        if self._null_fd >= 0:
            os.close(self._null_fd)
            self._null_fd = -1

    def _pump(self) -> None:
        try:
            if self._null_fd >= 0:
                count = os.splice(self._read_fd, self._null_fd, DROP_BYTES)
            else:
                count = self._keep(os.read(self._read_fd, READ_BYTES))
        except BlockingIOError:
            return
        except OSError:  # EIO: a terminal whose last user has closed it
            count = 0
        self._total_bytes += count
        if count == 0:
            self._loop.remove_reader(self._read_fd)
            if not self._end.done():
                self._end.set_result(None)
        elif not self._overflowed and self._total_bytes > self._limit:
            self._overflowed = True
            if not self._is_terminal:  # a terminal cannot be spliced; what it writes is little
                self._start_dropping()
            self._on_overflow()

    def _keep(self, piece: bytes) -> int:
        kept = piece[: self._limit - self._kept_bytes]
        if kept:
            self._kept.append(kept)
            self._kept_bytes += len(kept)
            if self._on_kept is not None:
                self._on_kept(kept)
        return len(piece)

    def _start_dropping(self) -> None:
        """Drop in the kernel, where a descriptor is left; by more, where the pipe may be larger."""
        with suppress(OSError):
            self._null_fd = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
            fcntl.fcntl(self._read_fd, fcntl.F_SETPIPE_SZ, DROP_BYTES)
