"""Answers what one program's filter asks, on the event loop, which no program can stall or flood.

One question is taken per turn of the loop, and whoever asks waits for the answer: so a job that
asks without end takes turns with all others.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from typing import TYPE_CHECKING

from sandboxd.kernel import seccomp

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.kernel.seccomp import Notice


class Notices:
    """Listens for one program, from before its start; `close` it when the program has ended."""

    def __init__(self, judge: Callable[[Notice], int | None]) -> None:
        """Make the way by which the listener will come.

        `judge` gives 0, an errno, or None: then whoever asks waits until it is killed.
        """
        self._judge = judge
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.program_fd = theirs.detach()
        """The program's end: to be passed on, then handed over."""
        self._listener_fd = -1
        self._loop = asyncio.get_running_loop()
        self._ours.setblocking(False)  # noqa: FBT003 - socket's signature
        self._loop.add_reader(self._ours, self._take_listener)

    def hand_over(self) -> None:
        """Close our copy of the program's end."""
        if self.program_fd >= 0:
            os.close(self.program_fd)
            self.program_fd = -1

    def close(self) -> None:
        """Stop to listen: what is still asked then is answered ENOSYS by the kernel."""
        self.hand_over()
        self._loop.remove_reader(self._ours)
        self._ours.close()
        if self._listener_fd >= 0:
            self._loop.remove_reader(self._listener_fd)
            os.close(self._listener_fd)
            self._listener_fd = -1

    def _take_listener(self) -> None:
        self._loop.remove_reader(self._ours)
        _, fds, _, _ = socket.recv_fds(self._ours, 16, 1)
        if fds:
            self._listener_fd = fds[0]
            self._loop.add_reader(self._listener_fd, self._answer)

    def _answer(self) -> None:
        """Answer one question.

        Only where there is one: Linux before 6.6 lets the receiver wait for ever on a listener that
        is readable merely because nobody is left to ask.
        """
        poll = select.poll()
        poll.register(self._listener_fd, select.POLLIN)
        if not any(events & select.POLLIN for _, events in poll.poll(0)):
            self._loop.remove_reader(self._listener_fd)
            return
        notice = seccomp.receive_notice(self._listener_fd)
        refusal = self._judge(notice) if notice is not None else None
        if notice is not None and refusal is not None:
            seccomp.answer_notice(self._listener_fd, notice, refusal)
