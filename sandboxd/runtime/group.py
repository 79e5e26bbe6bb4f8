"""Programs that run together: their pipes, their start, and what the first end does to the rest."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Protocol

from sandboxd.model.group import EndRule, GroupResult, MemberResult
from sandboxd.model.outcome import Exited, LimitExceeded, Signaled
from sandboxd.runtime.live import Live
from sandboxd.runtime.relays import Relay

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sandboxd.model.group import Group, Pipe, Recorded
    from sandboxd.model.outcome import RunResult

DRAIN_PATIENCE = 2.0
"""Seconds from the end of all programs to that of what relays still pass on."""
STOPPED = (Signaled("KILL"), LimitExceeded("wall_time"))


class RunMember(Protocol):
    """Runs one member, by its place, with these descriptors as ends of pipes."""

    async def __call__(self, index: int, live: Live, wires: Mapping[int, int]) -> RunResult:
        """Give its result."""


async def run_group(group: Group, run: RunMember) -> GroupResult:
    """Run all members to their ends. Cancelling this kills them all; so does a fault of one.

    Raises:
        SandboxdError: as `run`.

    """
    return await _Running(group).to_end(run)


class _Member:
    """One program: its talk, its ends of pipes, and how it went."""

    def __init__(self, wires: dict[int, int], running: _Running) -> None:
        self.wires = wires
        self.live = Live(None, self._start)
        self.result: RunResult | None = None
        self.is_stopped = False
        self._running = running

    def _start(self, *_: timedelta) -> None:
        self.hand_over()
        self._running.on_started()

    def hand_over(self) -> None:
        """Close our copies of its ends: from now on they are open as long as it has them."""
        for fd in self.wires.values():
            os.close(fd)
        self.wires.clear()

    def stop(self, limit: str | None = None) -> None:
        """Kill it, if it still runs."""
        if self.result is None and not self.is_stopped:
            self.is_stopped = True
            self.live.kill(limit)


class _Running:
    """A group on its way."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._relays: dict[Pipe, Relay] = {}
        self._members = [_Member({}, self) for _ in group.members]
        self._left_to_start = len(group.members)
        self._began_ns = 0
        self._deadline: asyncio.TimerHandle | None = None

    async def to_end(self, run: RunMember) -> GroupResult:
        """Run all, and give what they left behind."""
        try:
            self._lay_pipes()
            relaying = asyncio.gather(*(relay.run() for relay in self._relays.values()))
            try:
                async with asyncio.TaskGroup() as tasks:
                    for index, member in enumerate(self._members):
                        tasks.create_task(self._run(run, index, member))
                await asyncio.wait((relaying,), timeout=DRAIN_PATIENCE)
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            finally:
                relaying.cancel()
                await asyncio.gather(relaying, return_exceptions=True)
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            for member in self._members:
                member.hand_over()
            for relay in self._relays.values():
                relay.close()
        return GroupResult(tuple(self._results()), tuple(self._records()))

    def on_started(self) -> None:
        """Take that one more program has started."""
        self._left_to_start -= 1
        if self._left_to_start:
            return
        self._began_ns = time.monotonic_ns()
        if self._group.wall_time is not None:
            seconds = self._group.wall_time.total_seconds()
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(seconds, self._stop_all, "wall_time")

    async def _run(self, run: RunMember, index: int, member: _Member) -> None:
        member.result = await run(index, member.live, member.wires)
        member.hand_over()  # one that never started had them still
        failed = member.result.ending != Exited(0)
        rule = self._group.end_rule
        if rule is EndRule.STOP_ON_FIRST_END or (failed and rule is EndRule.STOP_ON_FIRST_FAILURE):
            self._stop_all()

    def _stop_all(self, limit: str | None = None) -> None:
        for member in self._members:
            member.stop(limit)

    def _lay_pipes(self) -> None:
        for pipe in self._group.pipes:
            read_fd, write_fd = _new_pipe()
            self._wires_of(pipe.writer.member)[pipe.writer.descriptor] = write_fd
            if pipe.is_relayed:
                source_fd = read_fd
                read_fd, sink_fd = _new_pipe()
                self._relays[pipe] = Relay(
                    source_fd, sink_fd, swallow=pipe.swallow, record_bytes=pipe.record_bytes
                )
            self._wires_of(pipe.reader.member)[pipe.reader.descriptor] = read_fd

    def _wires_of(self, name: str) -> dict[int, int]:
        names = [member.name for member in self._group.members]
        return self._members[names.index(name)].wires

    def _results(self) -> list[MemberResult]:
        by_end = sorted(self._members, key=lambda member: member.live.ended_ns)
        return [
            MemberResult(
                of.name,
                member.result,
                by_end.index(member) + 1,
                member.is_stopped and member.result.ending in STOPPED,
            )
            for of, member in zip(self._group.members, self._members, strict=True)
            if member.result is not None
        ]

    def _records(self) -> list[Recorded]:
        return [
            relay.recorded(pipe.called, self._began_ns)
            for pipe, relay in self._relays.items()
            if pipe.record_bytes
        ]


def _new_pipe() -> tuple[int, int]:
    """Make a pipe whose ends the programs may open anew, as /dev/stdin say: it is not theirs."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    os.fchmod(read_fd, 0o666)  # both ends are one inode
    return read_fd, write_fd
