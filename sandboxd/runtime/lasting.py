"""The daemon's side of a sandbox that stays: its programs, its files, its end.

A program in it is a `Run` like any other; what that takes for its sandbox is its seat here.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sandboxd.errors import Busy, PreconditionError, SandboxdError, SandboxLost, StageError
from sandboxd.model.job import WORKSPACE
from sandboxd.model.tape import encoded
from sandboxd.plan import files_tape, outputs_wanted
from sandboxd.runtime.channel import Closed, Message, ProtocolError, sealed_memory
from sandboxd.runtime.deadlines import Deadlines
from sandboxd.runtime.incoming import Files
from sandboxd.runtime.run import Run

if TYPE_CHECKING:
    from sandboxd.kernel.places import CgroupUsage
    from sandboxd.model.job import InputFile, Job, OutputPath
    from sandboxd.model.outcome import OutputFile, RunResult
    from sandboxd.plan import Plan
    from sandboxd.runtime.live import Live
    from sandboxd.runtime.sandbox import Sandbox

MAX_PROGRAMS = 64
"""At once in one sandbox; init has no room for more."""
RETRY_AFTER = timedelta(seconds=1)
WORK_PATIENCE = 30.0
"""Seconds that init may take to write or find files."""
FREEZE_PATIENCE = 2.0
"""Seconds in which the kernel stops all processes of a sandbox."""
MAX_REPORTS = 64
"""Of one program that nobody has taken; each may hold a descriptor."""
ENDS = frozenset({"ended", "not_started", "undone"})
"""Reports after which init has nothing more of a program."""


class SandboxEnded(SandboxdError):  # noqa: N818 - what happened, as a word
    """The sandbox is no more; its text says why."""

    reason = "SANDBOX_ENDED"


class Lasting:
    """One sandbox that stays, from `begin` to `end`; belongs to one event loop."""

    def __init__(self, sandbox: Sandbox, plan: Plan, policy_fd: int) -> None:
        """Take a blank sandbox; `plan` is that of a job which stands for all of its programs."""
        self.plan = plan
        self.is_paused = False
        self.cause = ""
        """Why it has ended; empty while it lives."""
        self._sandbox = sandbox
        self._policy_fd = policy_fd
        self._numbers = 0
        self._seats: dict[int, _Seat] = {}
        self._runs: dict[int, Run] = {}
        self._given: set[int] = set()
        """Programs that init has, those too that are being killed and nobody waits for."""
        self._reader: asyncio.Task[None] | None = None
        self._deadlines = Deadlines(
            replace(plan.limits, wall_time=None),
            len(plan.processors),
            self._exceed,
            cpu_time=sandbox.cpu_time,
            memory_bytes=self._watched_memory,
        )

    async def begin(self) -> None:
        """Make it ready for programs.

        Raises:
            StageError: a step failed; `end` is still to be called.

        """
        self._sandbox.limit(self.plan.cgroup_writes)
        self._sandbox.send("stay")
        self._reader = asyncio.create_task(self._read(), name="lasting-reader")
        await self._work("do", encoded(self.plan.job_tape))
        self._deadlines.start(time.monotonic_ns())

    async def run(self, job: Job, plan: Plan, live: Live) -> RunResult:
        """Run a program live, to its own end: what it started in the background stays.

        Cancelling this kills it, with all of its session.

        Raises:
            Busy: so many run already (reason EXECS_FULL).
            PreconditionError: it is paused (SANDBOX_PAUSED).
            SandboxEnded: the sandbox is no more.
            StageError: a step of starting it failed; nothing of it runs.

        """
        self._check()
        if len(self._given) >= MAX_PROGRAMS:
            busy = Busy(
                f"cannot run another program here: {MAX_PROGRAMS} run already, or are being killed",
                RETRY_AFTER,
            )
            busy.reason = "EXECS_FULL"
            raise busy
        seat = self._seat()
        run = Run(
            seat,
            job,
            plan,
            began_ns=time.monotonic_ns(),
            queue_time=timedelta(),
            blob_fds={},
            live=live,
        )
        self._runs[seat.number] = run
        try:
            return await run.to_end(self._policy_fd, None)
        except StageError as error:
            if self.cause:
                raise SandboxEnded(f"cannot run on: {self.cause}") from error
            raise
        finally:
            if not run.is_over:
                seat.kill_program()
            del self._runs[seat.number]
            self._leave(seat)
            live.finish()

    @property
    def running_count(self) -> int:
        """How many programs run, not counting what they have started."""
        return len(self._runs)

    async def write(self, placed: tuple[InputFile, ...]) -> None:
        """Write files, each whole or not at all, in place of what is there.

        Raises:
            PreconditionError: one cannot be written (FILE_UNWRITABLE), or it is paused.
            SandboxEnded: the sandbox is no more.

        """
        tape, content = files_tape(placed, WORKSPACE)
        fd = sealed_memory(content, "files")
        try:
            await self._work("do", encoded(tape), fds={"files": fd})
        except StageError as error:
            name = errno.errorcode.get(error.errno, "no errno")
            text = f"cannot write {error.detail}: {name}"
            remedy = "remove what is in the way, or write less"
            raise PreconditionError("FILE_UNWRITABLE", error.detail, text, remedy) from error
        finally:
            os.close(fd)

    async def read(self, paths: tuple[OutputPath, ...]) -> tuple[OutputFile, ...]:
        """Read files below the workspace, through no link.

        Raises:
            PreconditionError: it is paused (SANDBOX_PAUSED).
            SandboxEnded: the sandbox is no more.

        """
        directory, wanted = WORKSPACE, outputs_wanted(paths)
        return await self._work("read", directory, wanted)

    async def pause(self) -> None:
        """Stop all processes where they are; returns when they stand."""
        self.is_paused = True
        try:
            if self._sandbox.freeze(is_frozen=True):
                async with asyncio.timeout(FREEZE_PATIENCE):
                    while not self._sandbox.is_frozen():  # noqa: ASYNC110 - only the kernel knows
                        await asyncio.sleep(0.001)
            else:
                self._sandbox.send("all", int(signal.SIGSTOP))
        except BaseException as error:
            self.resume()
            if isinstance(error, TimeoutError):
                text = f"some process did not stop within {FREEZE_PATIENCE:g} s"
                raise StageError("pause", errno.EBUSY, text) from error
            raise

    def resume(self) -> None:
        """Let them go on."""
        if not self._sandbox.freeze(is_frozen=False):
            self._sandbox.send("all", int(signal.SIGCONT))
        self.is_paused = False

    def usage(self) -> CgroupUsage:
        """Tell what all of its programs have used so far."""
        return self._sandbox.usage()

    def now(self) -> tuple[int, int]:
        """Tell the memory that they use now, in bytes, and how many processes are alive.

        Where nothing counts, it is what their process tree shows.
        """
        memory, processes = self._sandbox.now()
        if memory is None or processes is None:
            tree = self._sandbox.tree_usage()
            memory = memory or (tree.memory_bytes if tree else 0)
            processes = processes or (tree.process_count if tree else 0)
        return memory, processes

    def end(self, cause: str, limit: str | None = None) -> None:
        """Kill all; programs that run end by this limit, or because somebody wants it.

        The sandbox is still to be removed.
        """
        if not self.cause:
            self.cause = cause
            for run in tuple(self._runs.values()):
                run.kill(limit)
            self._deadlines.stop()
            self._sandbox.kill()

    async def close(self) -> None:
        """Let go of it once it has ended."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    # --- for the seats ----------------------------------------------------------------------------

    def send(self, name: str, *fields: Any, fds: dict[str, int] | None = None) -> None:  # noqa: ANN401
        """Send init a word."""
        self._sandbox.send(name, *fields, fds=fds)

    def give(self, number: int, *fields: Any, fds: dict[str, int]) -> None:  # noqa: ANN401
        """Give init a program."""
        self._sandbox.send("exec", number, *fields, fds=fds)
        self._given.add(number)

    def lose(self) -> None:
        """End it because init does not do what it is told."""
        self.end("its init did not answer in time")

    # ----------------------------------------------------------------------------------------------

    def _seat(self) -> _Seat:
        self._numbers += 1
        seat = _Seat(self, self._numbers)
        self._seats[self._numbers] = seat
        return seat

    def _leave(self, seat: _Seat) -> None:
        del self._seats[seat.number]
        seat.close()

    def _check(self) -> None:
        if self.cause:
            raise SandboxEnded(f"cannot use this sandbox any more: {self.cause}")
        if self.is_paused:
            text = "cannot do this while the sandbox is paused"
            raise PreconditionError("SANDBOX_PAUSED", "sandbox", text, "resume it first")

    async def _work(
        self,
        name: str,
        *fields: Any,  # noqa: ANN401 - as `send`
        fds: dict[str, int] | None = None,
    ) -> tuple[OutputFile, ...]:
        """Have init do something, and give the files that it sends."""
        self._check()
        seat, found = self._seat(), Files()
        try:
            self.send(name, seat.number, *fields, fds=fds)
            async with asyncio.timeout(WORK_PATIENCE):
                while (message := await seat.receive()).name == "file":
                    try:
                        found.take(message)
                    finally:
                        message.close()
        except Closed:
            raise SandboxEnded(f"cannot go on: {self.cause}") from None
        except (TimeoutError, ProtocolError) as error:
            self.lose()
            raise SandboxEnded(f"cannot go on: {self.cause}") from error
        finally:
            self._leave(seat)
        if message.name == "failed":
            raise StageError(*message.expect(str, int, str))
        return found.taken

    async def _read(self) -> None:
        """Hand each report to whom it concerns, until there are no more."""
        try:
            while True:
                message = await self._sandbox.receive()
                number = message.fields[0] if message.fields else 0
                number = number if isinstance(number, int) else 0
                seat = self._seats.get(number)
                if message.name == "failed":
                    message.close()
                    return
                if message.name in ENDS:
                    self._given.discard(number)
                if seat is None:  # it has left
                    message.close()
                    continue
                seat.put(message)
                await asyncio.sleep(0)  # its turn to take it: no descriptors gather here
        except (Closed, ProtocolError, OSError):
            pass
        finally:
            self.end("its init has died")
            for seat in self._seats.values():
                seat.put(None)

    def _exceed(self, limit: str) -> None:
        self.end(f"limit exceeded: {limit}", limit)

    def _watched_memory(self) -> int | None:
        if not self.plan.watches_memory:
            return None
        usage = self._sandbox.tree_usage()
        return None if usage is None else usage.memory_bytes


class _Seat:
    """What one program takes for its sandbox."""

    def __init__(self, lasting: Lasting, number: int) -> None:
        self.number = number
        self._lasting = lasting
        self._reports: asyncio.Queue[Message | None] = asyncio.Queue()
        self._kills_before = 0
        self._was_killed = False

    def put(self, message: Message | None) -> None:
        """Take a report, or that there are no more."""
        if message is not None and self._reports.qsize() >= MAX_REPORTS:
            message.close()
            raise ProtocolError("more reports than anybody waits for")
        self._reports.put_nowait(message)

    def close(self) -> None:
        """Let go of reports that nobody will take."""
        while not self._reports.empty():
            if (message := self._reports.get_nowait()) is not None:
                message.close()

    def limit(self, _: object) -> None:
        """Do nothing: the sandbox has its limits."""

    def start(self, *fields: Any, fds: dict[str, int]) -> None:  # noqa: ANN401
        """Give init the program."""
        _, _, program_tape, _, terminal, _ = fields
        self._kills_before = self._lasting.usage().oom_kill_count
        self._lasting.give(self.number, program_tape, terminal, fds=fds)

    async def receive(self) -> Message:
        """Wait for the next report of this program."""
        message = await self._reports.get()
        if message is None:
            self.put(None)  # for whoever asks again
            raise Closed
        if message.name == "ended":
            _, status, *_ = message.expect(int, int, int, int, int, list)
            self._was_killed = status & 0x7F == signal.SIGKILL
        if message.name != "undone":
            return message
        _, stage, number, detail = message.expect(int, str, int, str)
        if (stage, number) == ("init", errno.EAGAIN):  # process_count is used up
            return Message("not_started", (self.number, number, "the program"), {})
        return Message("failed", (stage, number, detail), {})

    def kill_program(self) -> None:
        """Kill all processes of its session; where init takes no more words, the whole sandbox."""
        try:
            self._lasting.send("end", self.number)
        except SandboxLost:
            pass
        except StageError:
            self._lasting.lose()

    def signal_program(self, _: int, signal_number: int) -> None:
        """Send a signal to its process group; nothing lets a paused one go on but `resume`."""
        if self._lasting.is_paused and signal_number == signal.SIGCONT:
            return  # where init has stopped them; `resume` sends the same
        with suppress(StageError):
            self._lasting.send("signal", self.number, signal_number)

    def kill(self) -> None:
        """Kill the whole sandbox: its init does not answer."""
        self._lasting.lose()

    def usage(self) -> CgroupUsage:
        """Tell what is known of the program alone: the rest is what init tells at its end."""
        counted = self._lasting.usage()
        # The kernel may have killed another one for the memory of all.
        kills = counted.oom_kill_count - self._kills_before if self._was_killed else 0
        return counted._replace(
            cpu_time=None,
            user_time=None,
            system_time=None,
            oom_kill_count=kills,
            processes_refused=False,
        )

    def cpu_time(self) -> timedelta | None:
        """Tell nothing: the sandbox is watched, not the program."""
        return None

    def tree_usage(self) -> None:
        """Tell nothing, as above."""
