"""init of a sandbox that stays: several programs, together or in turn, and files in and out.

What fails for one program is that one's: init, and so the sandbox, lives on until the daemon ends
it.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from sandboxd.runtime import channel as channels
from sandboxd.runtime.tapes import StageFailed, execute

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sandboxd.runtime.channel import Message

    Start = Callable[[Message, dict[str, int], list[Any], list[Any] | None], int | None]
    HandOut = Callable[[int, list[Any]], None]


class Resident:
    """Knows the programs that run, by the numbers that the daemon gave them."""

    def __init__(
        self, channel: socket.socket, fds: dict[str, int], start: Start, hand_out: HandOut
    ) -> None:
        """Take init's own ways to start a program and to send files."""
        self._channel = channel
        self._fds = fds
        self._start = start
        self._hand_out = hand_out
        self._numbers: dict[int, int] = {}

    def attend(self, children_fd: int) -> NoReturn:
        """Do what the daemon says, and report each end, until it is gone."""
        poll = select.poll()
        poll.register(children_fd, select.POLLIN)
        poll.register(self._channel, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == children_fd:
                    os.read(children_fd, 4096)
                else:
                    self._obey(channels.receive(self._channel))
            self._reap()

    def _obey(self, message: Message) -> None:
        number: Any
        match message.name, message.fields:
            case "exec", (number, program_tape, terminal):
                self._exec(message, number, program_tape, terminal)
            case "do", (number, tape):
                try:
                    execute(tape, self._fds | message.fds)
                    channels.send(self._channel, "done", number)
                except StageFailed as failure:
                    channels.send(self._channel, "undone", number, *failure.report)
            case "read", (number, directory, wanted):
                self._hand_out(number, [directory, wanted])
                channels.send(self._channel, "done", number)
            case "signal", (number, signal_number):
                if (pid := self._pid(number)) is not None:
                    with suppress(ProcessLookupError):
                        os.kill(-pid, signal_number)
            case "end", (number,):
                if (pid := self._pid(number)) is not None:
                    end_session(pid)
            case "all", (signal_number,):
                with suppress(ProcessLookupError):
                    os.kill(-1, signal_number)
            case _:
                pass
        message.close()

    def _exec(
        self, message: Message, number: int, tape: list[Any], terminal: list[Any] | None
    ) -> None:
        try:
            pid = self._start(message, self._fds, [number, tape], terminal)
        except StageFailed as failure:
            channels.send(self._channel, "undone", number, *failure.report)
            return
        if pid is not None:
            self._numbers[pid] = number

    def _pid(self, number: int) -> int | None:
        return next((pid for pid, known in self._numbers.items() if known == number), None)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._numbers.pop(pid, None)
            if number is not None:
                times = int(used.ru_utime * 1e6), int(used.ru_stime * 1e6)
                clock = time.monotonic_ns()
                channels.send(self._channel, "ended", number, status, clock, *times, [])


def end_session(leader: int) -> None:
    """Kill all processes of a session; those that are born meanwhile, too."""
    known: set[int] = set()
    while True:
        found = set()
        for name in os.listdir("/proc"):
            with suppress(ValueError, ProcessLookupError):
                if (pid := int(name)) not in known and os.getsid(pid) == leader:
                    found.add(pid)
                    os.kill(pid, signal.SIGKILL)
        if not found:
            return
        known |= found
