"""One run: a job in its sandbox, from the start message to the result.

Never trusts a report: init may be taken over, so every field is checked and every number bounded.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from sandboxd.errors import HostError, SandboxLost, StageError
from sandboxd.kernel import seccomp
from sandboxd.kernel.terminals import resize
from sandboxd.model.outcome import (
    Captured,
    Evidence,
    NotStarted,
    Outcome,
    RunResult,
    Signaled,
    Usage,
    decide,
)
from sandboxd.model.tape import encoded
from sandboxd.plan import descriptor_names
from sandboxd.runtime.capture import Capture
from sandboxd.runtime.channel import Closed, ProtocolError, sealed_memory
from sandboxd.runtime.deadlines import Deadlines
from sandboxd.runtime.feed import Feed
from sandboxd.runtime.incoming import Files
from sandboxd.runtime.inputs import stdin_fd
from sandboxd.runtime.live import Piece
from sandboxd.runtime.notices import Notices
from sandboxd.runtime.nursery import stage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sandboxd.kernel.cgroups import Write
    from sandboxd.kernel.places import CgroupUsage
    from sandboxd.kernel.seccomp import Notice
    from sandboxd.model.job import Job
    from sandboxd.model.outcome import Ending
    from sandboxd.plan import Plan
    from sandboxd.runtime.channel import Message
    from sandboxd.runtime.live import Live
    from sandboxd.runtime.processtree import TreeUsage

START_PATIENCE = 30.0
"""Seconds from the start message to exec; placing 64 MiB of files takes a tenth of one."""
END_PATIENCE = 10.0
"""Seconds from our kill to init's last report; then init is killed, too."""
COLLECT_PATIENCE = 30.0
"""Seconds that init may take to find and open the asked files."""
DRAIN_PATIENCE = 2.0
"""Seconds from the end of all writers to the end of file on a pipe."""
CHARGED_AHEAD = 1 << 20
"""Of a full memory cgroup the kernel may leave so much free: it charges many pages at a time."""
NO_WIRES: Mapping[int, int] = MappingProxyType({})
PROGRAM = 1
"""The number of a job's one program."""


class Seat(Protocol):
    """What a run takes for its sandbox: one of its own, or its place in one that stays."""

    def limit(self, writes: tuple[Write, ...], /) -> None:
        """Write the job's limits."""

    def start(self, *fields: Any, fds: dict[str, int]) -> None:  # noqa: ANN401
        """Give init the program."""

    async def receive(self) -> Message:
        """Wait for init's next report."""

    def kill_program(self) -> None:
        """Kill the program and what it has started."""

    def signal_program(self, number: int, signal_number: int, /) -> None:
        """Send a signal to its process group."""

    def kill(self) -> None:
        """Kill init and all that it has."""

    def usage(self) -> CgroupUsage:
        """Tell what was counted."""

    def cpu_time(self) -> timedelta | None:
        """Tell the processor time used so far."""

    def tree_usage(self) -> TreeUsage | None:
        """Tell what the process tree uses now."""


class Run:
    """What is known of one run so far."""

    def __init__(  # noqa: PLR0913 - keywords, each of them one thing that is known before
        self,
        sandbox: Seat,
        job: Job,
        plan: Plan,
        *,
        began_ns: int,
        queue_time: timedelta,
        blob_fds: Mapping[str, int],
        live: Live | None = None,
        wires: Mapping[int, int] = NO_WIRES,
    ) -> None:
        """Take a blank sandbox for this job and no other; descriptors of its blobs by SHA-256.

        `wires` are descriptors of ours that are the program's, by its number of them.
        """
        self._sandbox = sandbox
        self._job = job
        self._plan = plan
        self._began_ns = began_ns
        self._queue_time = queue_time
        self._blob_fds = blob_fds
        self._live = live
        self._wires = wires
        self._started_ns = 0
        self._ended_ns = 0
        self._killed_ns = 0
        self.is_over = False
        """Whether init has reported the end: then it has left no process of the program."""
        self._killed_for: str | None = None
        self._is_cancelled = False
        self._denied: str | None = None
        self._is_executed = False
        self._notices: Notices | None = None
        self._evidence = Evidence()
        self._reaped = (timedelta(), timedelta())
        self._full: list[str] = []
        self._files = Files()
        self._peak_tree = (0, 0)
        self._patience: asyncio.TimerHandle | None = None
        self._lost_patience: float | None = None
        self._captures: dict[int, Capture] = {}
        self._master_fd = -1
        self._on_output: Callable[[int, bytes], None] | None = None
        self._judge: Callable[[Notice], int | None] = self._judge_by_name
        self._deadlines = Deadlines(
            plan.limits,
            len(plan.processors),
            self._kill,
            cpu_time=sandbox.cpu_time,
            memory_bytes=self._watched_memory,
        )

    async def to_end(
        self,
        policy_fd: int,
        on_output: Callable[[int, bytes], None] | None,
        judge: Callable[[Notice], int | None] | None = None,
    ) -> RunResult:
        """Start the program and give the result once it, and all that it started, has ended.

        `judge` answers what the program's filter asks; unset, a question ends the job.
        """
        self._on_output = on_output
        self._judge = judge or self._judge_by_name
        self._sandbox.limit(self._plan.cgroup_writes)
        try:
            self._start(policy_fd)
            await self._until_ended()
            streams = {
                stream: await capture.finish(DRAIN_PATIENCE)
                for stream, capture in self._captures.items()
            }
        finally:
            self._deadlines.stop()
            if self._patience is not None:
                self._patience.cancel()
            for capture in self._captures.values():
                capture.close()
            if self._live is not None:
                self._live.ended_ns = self._ended_ns or time.monotonic_ns()
                self._live.stop()
            if self._notices is not None:
                self._notices.close()
        return self._result(streams)

    # --- start --------------------------------------------------------------------------------

    def _capture(self, stream: int, master_fd: int | None = None) -> Capture:
        """Begin to capture stdout (1) or stderr (2)."""
        hears = self._live is not None and self._live.on_piece is not None
        is_heard = hears or self._on_output is not None
        capture = Capture(
            self._plan.limits.output_bytes,
            partial(self._hear, stream) if is_heard else None,
            self._on_overflow,
            master_fd,
            keeps=not hears,
        )
        if hears:
            capture.pause(is_paused=True)  # until the start is told, which may come after output
        self._captures[stream] = capture
        return capture

    def _hear(self, stream: int, offset: int, data: bytes) -> None:
        """Pass on a piece of output."""
        if self._live is not None and self._live.on_piece is not None:
            time_ns = max(0, time.monotonic_ns() - self._started_ns)
            self._live.on_piece(Piece(stream, offset, time_ns, data))
        elif self._on_output is not None:
            self._on_output(stream, data)

    def _input(self) -> int:
        """Give the reading end of the program's input, whose other end may be a live caller's."""
        if self._live is None or not self._live.takes_input:
            return stdin_fd(self._job.stdin, self._blob_fds)
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        self._live.feed(Feed(write_fd))
        os.fchmod(read_fd, 0o444)  # as Capture's: lets the program open /dev/stdin
        return read_fd

    def _give_streams(self, fds: dict[str, int], opened: list[int]) -> None:
        """Add the program's descriptors to those that travel, and to `opened` what is ours."""
        names = descriptor_names(tuple(self._wires), merged=self._job.merge_stderr)
        fds |= {names[number]: fd for number, fd in self._wires.items()}
        if "stdin" not in fds:
            fds["stdin"] = self._input()
            opened.append(fds["stdin"])
        if "stdout" not in fds:
            fds["stdout"] = self._capture(1).write_fd
        if "stderr" not in fds and not self._job.merge_stderr:
            fds["stderr"] = self._capture(2).write_fd
        if "null" in names:
            fds["null"] = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            opened.append(fds["null"])

    def _start(self, policy_fd: int) -> None:
        fds = {"policy": policy_fd}
        opened: list[int] = []
        try:
            if self._plan.terminal is None:
                self._give_streams(fds, opened)
            if self._plan.notifies:
                self._notices = Notices(self._judge)
                fds["notices"] = self._notices.program_fd
            for number, sha256 in enumerate(self._plan.blobs):
                fds[f"blob{number}"] = self._blob_fds[sha256]
            if self._job.files:
                fds["files"] = sealed_memory(self._plan.files_content, "files")
                opened.append(fds["files"])
            self._sandbox.start(
                PROGRAM,
                encoded(self._plan.job_tape),
                encoded(self._plan.program_tape),
                self._plan.outputs,
                self._plan.terminal,
                True,  # noqa: FBT003 - the last program of this sandbox
                fds=fds,
            )
        finally:
            for fd in opened:
                os.close(fd)
            for capture in self._captures.values():
                capture.hand_over()
            if self._notices is not None:
                self._notices.hand_over()
        self._be_patient(START_PATIENCE)

    # --- reports --------------------------------------------------------------------------------

    async def _until_ended(self) -> None:
        """Take reports until the last; a run that we killed ends even if init does not answer."""
        while True:
            try:
                message = await self._sandbox.receive()
            except (Closed, ProtocolError) as error:
                if self._was_killed:
                    return
                raise self._lost(error) from error
            try:
                if self._take(message):
                    return
            except ProtocolError as error:
                raise StageError("report", 0, f"broken protocol: {error}") from error
            finally:
                message.close()

    def _take(self, message: Message) -> bool:
        """Take one report; tell whether it was the last."""
        match message.name:
            case "started":
                _, clock = message.expect(int, int)
                self._started_ns = self._bounded(clock)
                self._be_patient(None)
                self._deadlines.start(self._started_ns)
                if self._live is not None:
                    setup_ns = self._started_ns - self._began_ns
                    self.pause_output(is_paused=False)
                    self._live.start(
                        self, self._queue_time, timedelta(microseconds=setup_ns // 1000)
                    )
            case "terminal":
                self._take_terminal(message)
            case "stopped":
                self._deadlines.stop()
                self._be_patient(COLLECT_PATIENCE)
            case "file":
                self._files.take(message)
            case "ended":
                _, status, clock, user, system, full = message.expect(int, int, int, int, int, list)
                ended_ns = self._bounded(clock)
                # A killed program ends with the kill: what it still needs a turn for is its death.
                self._ended_ns = max(self._started_ns, min(ended_ns, self._killed_ns or ended_ns))
                self._reaped = (timedelta(microseconds=user), timedelta(microseconds=system))
                self._full = [name for name in full if name in {"scratch_bytes", "file_count"}]
                self._evidence = Evidence(wait_status=status & 0xFFFF)
                self.is_over = True
            case "not_started":
                _, number, detail = message.expect(int, int, str)
                self._evidence = Evidence(not_started=_not_started(number, detail))
                self.is_over = True
            case "failed":
                return self._take_failure(message)
            case _:
                raise ProtocolError(f"unexpected {message.name[:40]!r}")
        return self.is_over

    def _take_terminal(self, message: Message) -> None:
        """Take the master of the program's terminal; it is captured as stdout."""
        master_fd = message.fds.get("master", -1)
        if self._plan.terminal is None or self._captures or not os.isatty(master_fd):
            raise ProtocolError("this is no terminal that was asked for")
        del message.fds["master"]
        self._capture(1, master_fd)
        self._master_fd = master_fd
        if self._live is not None:
            self._live.feed(Feed(os.dup(master_fd), is_terminal=True))

    def _take_failure(self, message: Message) -> bool:
        """Take a failure: ours, unless the kernel or we killed the program before its exec."""
        if self._was_killed or self._sandbox.usage().oom_kill_count:
            return True
        raise stage_error(message)

    def _lost(self, error: Exception) -> StageError:
        if self._lost_patience is not None:  # we have killed it: a second try would hang as well
            return StageError("init", 0, f"no answer within {self._lost_patience:g} s")
        if isinstance(error, Closed):
            return SandboxLost("init", "init died", started=self._started_ns > 0)
        return StageError("init", 0, f"broken protocol: {error}")

    def _bounded(self, clock: int) -> int:
        """Put a clock that init reports between our beginning and now, whatever it says."""
        return min(max(clock, self._began_ns), time.monotonic_ns())

    # --- ending ---------------------------------------------------------------------------------

    def _kill(self, limit: str | None) -> None:
        """Kill the program for a limit, or for its caller; the first cause wins."""
        if not self._was_killed:
            self._killed_for = limit
            if limit is None:
                self._is_cancelled = True
                self._evidence = Evidence(wait_status=signal.SIGKILL)  # unless init tells better
            self._end_program()
            self._killed_ns = time.monotonic_ns()

    def _judge_by_name(self, notice: Notice) -> int | None:
        """Let the program's own start pass; end the job at anything else, which stays unanswered.

        The process that becomes the program executes once, and is alone until it has.
        """
        name = seccomp.call_name(notice.number)
        if name in seccomp.EXECUTION and not self._is_executed:
            self._is_executed = True
            return 0
        if not self._was_killed:
            self._denied = name
            self._end_program()
        return None

    @property
    def _was_killed(self) -> bool:
        return self._is_cancelled or self._killed_for is not None or self._denied is not None

    def _end_program(self) -> None:
        self._sandbox.kill_program()
        self._be_patient(END_PATIENCE)

    # --- for `Live` -----------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """Send a signal to the program's process group."""
        self._sandbox.signal_program(PROGRAM, number)

    def kill(self, limit: str | None) -> None:
        """Kill everything that the job started: for a limit, or because somebody wants it."""
        self._kill(limit)

    def pause_output(self, *, is_paused: bool) -> None:
        """Leave output in its pipes, or take it again."""
        for capture in self._captures.values():
            capture.pause(is_paused=is_paused)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size."""
        if self._master_fd >= 0:
            resize(self._master_fd, rows, columns)

    # ----------------------------------------------------------------------------------------------

    def _on_overflow(self) -> None:
        if self._plan.limits.stop_on_output:
            self._kill("output_bytes")

    def _be_patient(self, seconds: float | None) -> None:
        """Kill the whole sandbox if init has not reported by then."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(seconds, self._lose_patience, seconds)

    def _lose_patience(self, seconds: float) -> None:
        self._lost_patience = seconds
        self._sandbox.kill()

    def _watched_memory(self) -> int | None:
        """Sample memory where no controller limits it; None where one does."""
        if not self._plan.watches_memory:
            return None
        usage = self._sandbox.tree_usage()
        if usage is None:
            return None
        memory, count = self._peak_tree
        self._peak_tree = max(memory, usage.memory_bytes), max(count, usage.process_count)
        return usage.memory_bytes

    def _result(self, streams: dict[int, Captured]) -> RunResult:
        counted = self._sandbox.usage()
        self._check_memory(counted)
        user, system = self._reaped
        cpu = counted.cpu_time if counted.cpu_time is not None else user + system
        ended_ns = self._ended_ns or time.monotonic_ns()
        started_ns = self._started_ns or ended_ns
        usage = Usage(
            user_time=counted.user_time if counted.user_time is not None else user,
            system_time=counted.system_time if counted.system_time is not None else system,
            cpu_time=cpu,
            wall_time=timedelta(microseconds=(ended_ns - started_ns) // 1000),
            setup_time=timedelta(microseconds=(started_ns - self._began_ns) // 1000),
            queue_time=self._queue_time,
            peak_memory_bytes=_known(counted.peak_memory_bytes, self._peak_tree[0]),
            peak_process_count=_known(counted.peak_process_count, self._peak_tree[1]),
            oom_kill_count=counted.oom_kill_count,
            throttled_time=counted.throttled_time,
        )
        evidence = replace(self._evidence, killed_for=self._killed_for, denied_syscall=self._denied)
        ending = decide(evidence, usage, self._plan.limits)
        touched = self._touched(ending, streams.values(), refused=counted.processes_refused)
        return RunResult(
            outcome=Outcome(
                ending=ending,
                usage=usage,
                limits_touched=touched,
                enforced=self._plan.enforced,
                policy_digest=self._plan.policy.digest,
            ),
            stdout=streams.get(1, Captured()),
            stderr=streams.get(2, Captured()),
            files=self._files.taken,
        )

    def _check_memory(self, counted: CgroupUsage) -> None:
        """Blame no job that the kernel killed for memory while it kept its own limit."""
        peak, limit = counted.peak_memory_bytes, self._plan.limits.memory_bytes
        if not counted.oom_kill_count or self._was_killed or peak is None or limit is None:
            return
        if peak < limit - CHARGED_AHEAD:
            raise HostError(
                "MEMORY_EXHAUSTED",
                f"cannot finish the job: the kernel killed it at {peak} bytes, below its limit",
                "give the service more memory, or fewer --slots",
            )

    def _touched(
        self, ending: Ending, streams: Iterable[Captured], *, refused: bool
    ) -> tuple[str, ...]:
        """Name the limits that were hit without ending the program."""
        limits = self._plan.limits
        hit = {
            "process_count": refused,
            "output_bytes": any(stream.truncated for stream in streams),
            "scratch_bytes": "scratch_bytes" in self._full and bool(limits.scratch_bytes),
            "file_count": "file_count" in self._full and bool(limits.file_count),
            "file_size_bytes": ending == Signaled("XFSZ"),
        }
        ended_by = getattr(ending, "limit", None)
        return tuple(name for name, was_hit in hit.items() if was_hit and name != ended_by)


def _not_started(number: int, detail: str) -> NotStarted:
    name = errno.errorcode.get(number, "EUNKNOWN")
    return NotStarted(name, f"cannot execute {detail[:256]}: {os.strerror(number)}")


def _known(counted: int | None, sampled: int) -> int:
    return sampled if counted is None else counted
