"""Output pumps: keep the first bytes that a stream wrote, count and drop the rest.

A program that writes without end costs the daemon a bounded buffer and no copy: what is dropped
is spliced from the pipe to /dev/null inside the kernel. One that writes in crumbs is looked at a
thousand times a second at most, and meanwhile its pipe gathers them.
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
"""How much is kept at once: what a new pipe holds, where the user has not too many already."""
PIPE_BYTES = 1 << 20
"""The size of a pipe that was found full, where the user's share of pipes allows it."""
LITTLE = 4
"""Less than this part of what could be taken at once is not worth a look for itself."""
TERMINAL_BYTES = 4095
"""What one read of a terminal gives at the most (Linux N_TTY)."""
PAUSE = 0.001
"""Seconds from a look that found little to the next; also the least that a timer can tell."""
FULL_PIPE_LOOKS = PIPE_BYTES // READ_BYTES + 1
"""How many looks empty the largest pipe, and find its end."""


class Capture:
    """One pipe from its making to its end of file."""

    def __init__(
        self,
        limit: int | None,
        on_piece: Callable[[int, bytes], None] | None,
        on_overflow: Callable[[], None],
        master_fd: int | None = None,
        *,
        keeps: bool = True,
    ) -> None:
        """Make the pipe, or take over a terminal's master.

        Calls back with each piece within the limit, and what was before it, in bytes; and once when
        the limit is passed. Remembers those pieces if it `keeps` them.
        """
        if master_fd is None:
            self._read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
            # The program is not the pipe's owner: only this mode lets it open /dev/stdout.
            os.fchmod(self.write_fd, 0o666)
            self._pipe_bytes = fcntl.fcntl(self._read_fd, fcntl.F_GETPIPE_SZ)
        else:
            self._read_fd, self.write_fd = master_fd, -1
            self._pipe_bytes = TERMINAL_BYTES
        os.set_blocking(self._read_fd, False)
        self._limit = limit
        self._on_piece = on_piece
        self._on_overflow = on_overflow
        self._keeps = keeps
        self._kept = bytearray()
        self._is_paused = False
        self._total_bytes = 0
        self._null_fd = -1
        self._is_terminal = master_fd is not None
        self._overflowed = False
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._listen()

    def hand_over(self) -> None:
        """Close our copy of the writing end, once the program has its own."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    async def finish(self, patience: float) -> Captured:
        """Wait for the end of file, for `patience` seconds at most, and give what was kept."""
        self._is_paused = False
        for _ in range(FULL_PIPE_LOOKS):  # the writers have ended: mostly it is all there
            if not self._take():
                break
        if not self._end.done():
            self._listen()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._end
        return Captured(bytes(self._kept), self._total_bytes, self._overflowed)

    def pause(self, *, is_paused: bool) -> None:
        """Leave what is written where it is, until resumed; what is dropped is taken all the same.

        A program that has filled its pipe waits meanwhile. `finish` takes what is there.
        """
        self._is_paused = is_paused
        if is_paused and self._null_fd < 0:
            self._deafen()
        elif self._read_fd >= 0 and not self._end.done():
            self._listen()

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        self.hand_over()
        if self._read_fd >= 0:
            self._deafen()
            os.close(self._read_fd)
            self._read_fd = -1
        if self._null_fd >= 0:
            os.close(self._null_fd)
            self._null_fd = -1

    def _listen(self) -> None:
        self._deafen()
        self._loop.add_reader(self._read_fd, self._pump)

    def _deafen(self) -> None:
        self._loop.remove_reader(self._read_fd)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _pump(self) -> None:
        """Take once what is there: whoever else waits for the loop has a turn in between."""
        at_once = self._at_once
        if self._take() < at_once // LITTLE and not (self._end.done() or self._is_paused):
            self._deafen()
            self._pause = self._loop.call_later(PAUSE, self._listen)

    @property
    def _at_once(self) -> int:
        """Tell how much one look can find."""
        return self._pipe_bytes if self._null_fd >= 0 else min(self._pipe_bytes, READ_BYTES)

    def _take(self) -> int:
        """Keep or drop what is there; give its size, 0 if there is nothing now or any more."""
        if self._end.done():
            return 0
        try:
            if self._null_fd >= 0:
                # By its own flag, too: the program may open and empty the pipe before us, and not
                # every kernel looks at the descriptor's.
                flags = os.SPLICE_F_NONBLOCK
                count = os.splice(self._read_fd, self._null_fd, PIPE_BYTES, flags=flags)
            else:
                count = self._keep(os.read(self._read_fd, READ_BYTES))
        except BlockingIOError:
            return 0
        except OSError:  # EIO: a terminal whose last user has closed it
            count = 0
        self._total_bytes += count
        if count == 0:
            self._deafen()
            self._end.set_result(None)
        if 2 * count >= self._at_once and not self._is_terminal:
            self._enlarge()  # it was full: pieces that share no page leave up to half of it empty
        if not self._overflowed and self._limit is not None and self._total_bytes > self._limit:
            self._overflowed = True
            if not self._is_terminal:  # a terminal cannot be spliced; what it writes is little
                self._start_dropping()
            self._on_overflow()
        return count

    def _keep(self, piece: bytes) -> int:
        left = len(piece) if self._limit is None else max(0, self._limit - self._total_bytes)
        wanted = piece[:left]
        if wanted and self._keeps:
            self._kept += wanted
        if wanted and self._on_piece is not None:
            self._on_piece(self._total_bytes, wanted)
        return len(piece)

    def _start_dropping(self) -> None:
        """Drop in the kernel, where a descriptor is left."""
        with suppress(OSError):
            self._null_fd = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)

    def _enlarge(self) -> None:
        """Let a full pipe hold more, so that it takes fewer looks."""
        if self._pipe_bytes >= PIPE_BYTES:
            return
        with suppress(OSError):
            self._pipe_bytes = fcntl.fcntl(self._read_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
