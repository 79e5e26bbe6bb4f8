"""Sandboxes that stay: several programs, files in and out, limits of the sum, a clean end."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from house import seconds

from sandboxd.errors import Busy, PreconditionError
from sandboxd.model.job import InputFile, Job, OutputPath, Terminal
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, FileFault, LimitExceeded, NotStarted, Signaled
from sandboxd.runtime.lasting import MAX_PROGRAMS, SandboxEnded
from sandboxd.runtime.live import Live, Piece

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from house import House

    from sandboxd.model.outcome import RunResult
    from sandboxd.runtime.lasting import Lasting

LONG = Limits(cpu_time=timedelta(minutes=10))


class Shell:
    """One sandbox that stays, as a test uses it."""

    def __init__(self, house: House, lasting: Lasting, template: Job) -> None:
        self.lasting = lasting
        self._house = house
        self._template = template

    def begin(
        self, *argv: str, limits: Limits | None = None, takes_input: bool = False, **fields: Any
    ) -> tuple[asyncio.Task[RunResult], Live, list[Piece]]:
        pieces: list[Piece] = []
        live = Live(pieces.append, takes_input=takes_input)
        job = Job(argv=argv, limits=limits or self._template.limits, **fields)
        work = self._house.supervisor.run_in(self.lasting, job, live)
        return asyncio.create_task(work), live, pieces

    async def run(self, script: str, **fields: Any) -> tuple[RunResult, str]:
        task, _, pieces = self.begin("/bin/sh", "-c", script, **fields)
        async with asyncio.timeout(30):
            result = await task
        return result, b"".join(piece.data for piece in pieces).decode()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)


def using(
    house: House, use: Callable[[Shell], Awaitable[None]], limits: Limits = LONG, **fields: Any
) -> None:
    template = Job(argv=("sh",), limits=limits, terminal=Terminal(), **fields)

    async def work() -> None:
        async with house.supervisor.lasting(template) as lasting:
            await use(Shell(house, lasting, template))

    house.do(work())


def test_what_one_program_leaves_the_next_one_finds(house: House) -> None:
    async def use(shell: Shell) -> None:
        result, _ = await shell.run("echo kept > /workspace/file; export X=1; cd /tmp")
        assert result.ending == Exited(0)
        result, out = await shell.run("cat file; pwd; echo $X-; exit 3")
        assert (result.ending, out) == (Exited(3), "kept\n/workspace\n-\n")

    using(house, use)


def test_background_processes_stay(house: House) -> None:
    async def use(shell: Shell) -> None:
        count = "n=0; while :; do n=$((n + 1)); echo $n > new; mv new tick; sleep 0.01; done"
        assert (await shell.run(f"({count}) > /dev/null 2>&1 &"))[0].ending == Exited(0)
        seen: list[str] = []
        async with asyncio.timeout(20):
            while len(set(seen)) < 3:
                seen.append((await shell.run("cat tick 2> /dev/null || :"))[1])
        numbers = [int(word) for word in seen if word]
        assert numbers == sorted(numbers)

    using(house, use)


def test_several_run_at_once_and_end_each_by_itself(house: House) -> None:
    async def use(shell: Shell) -> None:
        begun = [shell.begin("sh", "-c", f"sleep 0.{n}; exit {n}") for n in range(1, 6)]
        assert shell.lasting.running_count in {0, 5}
        endings = [(await task).ending for task, _, _ in begun]
        assert endings == [Exited(n) for n in range(1, 6)]

    using(house, use)


def test_a_live_program_talks(house: House) -> None:
    async def use(shell: Shell) -> None:
        task, live, pieces = shell.begin("python3", "-iq", takes_input=True, merge_stderr=True)
        await live.write(b"x = 6\n")
        await live.write(b"print(x * 7)\n")
        await until(lambda: b"42" in b"".join(piece.data for piece in pieces))
        await live.end_input()
        assert (await task).ending == Exited(0)

    using(house, use)


def test_a_terminal_for_each_that_wants_one(house: House) -> None:
    async def use(shell: Shell) -> None:
        for _ in range(2):
            result, out = await shell.run("tty; exit 2", terminal=Terminal())
            assert (result.ending, out[:9]) == (Exited(2), "/dev/pts/")

    using(house, use)


def test_the_time_out_of_a_command_ends_it_and_not_the_sandbox(house: House) -> None:
    async def use(shell: Shell) -> None:
        limits = Limits(wall_time=seconds(0.3))
        began = time.monotonic()
        script = "echo x > file; sleep 60 & sleep 60"
        result, _ = await shell.run(script, limits=limits)
        assert result.ending == LimitExceeded("wall_time")
        assert time.monotonic() - began < 10
        assert (await shell.run("cat file; pgrep -c sleep"))[1] == "x\n0\n"

    using(house, use)


def test_a_cancelled_command_goes_with_its_session(house: House) -> None:
    async def use(shell: Shell) -> None:
        task, live, _ = shell.begin("sh", "-c", "sleep 61 & sleep 61")
        other, _, _ = shell.begin("sleep", "62")
        await asyncio.sleep(0.2)
        live.kill()
        assert (await task).ending == Signaled("KILL")
        assert (await shell.run("pgrep -fc '^sleep 6[12]'"))[1] == "1\n"
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        await asyncio.sleep(0.1)
        assert (await shell.run("pgrep -fc '^sleep 6[12]'"))[1] == "0\n"

    using(house, use)


def test_limits_hold_for_the_sum(house: House) -> None:
    hold = "x = bytearray({} << 20)\nprint('held', flush=True)\nimport time; time.sleep(60)"

    async def use(shell: Shell) -> None:
        first, _, pieces = shell.begin("python3", "-c", hold.format(50))
        await until(lambda: bool(pieces))
        second, _, _ = shell.begin("python3", "-c", hold.format(70))
        done, _ = await asyncio.wait((first, second), return_when="FIRST_COMPLETED", timeout=20)
        assert {task.result().ending for task in done} == {LimitExceeded("memory_bytes")}
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert (await shell.run("echo lives"))[1] == "lives\n"

    using(house, use, Limits(memory_bytes=96 * MIB, cpu_time=timedelta(minutes=1)))


def test_the_processor_time_of_all_ends_the_sandbox(house: House) -> None:
    async def use(shell: Shell) -> None:
        first, _, _ = shell.begin("sh", "-c", "while :; do :; done")
        second, _, _ = shell.begin("sleep", "60")
        results = await asyncio.gather(first, second)
        assert [result.ending for result in results] == [LimitExceeded("cpu_time")] * 2
        assert shell.lasting.cause == "limit exceeded: cpu_time"
        with pytest.raises(SandboxEnded, match="limit exceeded: cpu_time"):
            await shell.run("true")

    using(house, use, Limits(cpu_time=seconds(0.5)))


def test_too_many_processes_are_refused_and_nothing_is_lost(house: House) -> None:
    async def use(shell: Shell) -> None:
        task, _, pieces = shell.begin(
            "sh", "-c", "for n in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; echo full; wait"
        )
        await until(lambda: bool(pieces))
        result, _ = await shell.run("true & wait $!")
        assert isinstance(result.ending, (NotStarted, Exited))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.1)
        assert (await shell.run("echo lives"))[1] == "lives\n"

    using(house, use, Limits(process_count=10, cpu_time=timedelta(minutes=1)))


def test_files_go_in_and_out(house: House) -> None:
    async def use(shell: Shell) -> None:
        await shell.lasting.write(
            (
                InputFile("deep/down/file", b"one"),
                InputFile("/tmp/tool", b"#!/bin/sh\necho run\n", executable=True),
            )
        )
        assert (await shell.run("cat deep/down/file; /tmp/tool; stat -c %U:%a deep /tmp/tool"))[1]
        await shell.lasting.write((InputFile("deep/down/file", b"two"),))
        assert (await shell.run("cat deep/down/file; ls -A deep/down"))[1] == "twofile\n"
        await shell.run("echo a > out1; echo b > out2; ln -s /etc/passwd link; mkfifo pipe")
        found = await shell.lasting.read(
            (OutputPath("out*"), OutputPath("link"), OutputPath("pipe"), OutputPath("none"))
        )
        assert [(file.path, file.content, file.fault) for file in found] == [
            ("out1", b"a\n", None),
            ("out2", b"b\n", None),
            ("link", None, FileFault.LINK),
            ("pipe", None, FileFault.PIPE),
            ("none", None, FileFault.MISSING),
        ]

    using(house, use)


def test_a_file_that_cannot_be_written_says_why_and_the_sandbox_lives(house: House) -> None:
    async def use(shell: Shell) -> None:
        await shell.run("mkdir taken; touch plain; ln -s /tmp link")
        for path in ("taken", "plain/below", "link/below"):
            with pytest.raises(PreconditionError, match="cannot write"):
                await shell.lasting.write((InputFile(path, b"x"),))
        with pytest.raises(PreconditionError, match="ENOSPC"):
            await shell.lasting.write((InputFile("big", b"x" * (3 * MIB)),))
        assert (await shell.run("ls -A"))[1].split() == ["link", "plain", "taken"]

    using(house, use, Limits(scratch_bytes=2 * MIB, cpu_time=timedelta(minutes=1)))


def test_a_paused_sandbox_stands_still(house: House) -> None:
    async def use(shell: Shell) -> None:
        loop = "while :; do echo x; sleep 0.01; done"
        task, _, pieces = shell.begin("sh", "-c", loop)
        await until(lambda: bool(pieces))
        await shell.lasting.pause()
        await asyncio.sleep(0.05)
        before = len(pieces)
        await asyncio.sleep(0.3)
        assert len(pieces) == before
        with pytest.raises(PreconditionError, match="paused"):
            await shell.run("true")
        with pytest.raises(PreconditionError, match="paused"):
            await shell.lasting.read((OutputPath("x"),))
        shell.lasting.resume()
        await asyncio.sleep(0.2)
        assert len(pieces) > before
        await shell.lasting.pause()
        task.cancel()  # also while it stands still
        await asyncio.gather(task, return_exceptions=True)

    using(house, use)


def test_an_init_that_dies_is_told_to_all(house: House) -> None:
    async def use(shell: Shell) -> None:
        task, _, _ = shell.begin("sleep", "60")
        await asyncio.sleep(0.2)
        shell.lasting.end("tried")
        assert (await task).ending == Signaled("KILL")
        with pytest.raises(SandboxEnded, match="tried"):
            await shell.run("true")

    using(house, use)


def test_nothing_is_left_of_one_that_was_busy(house: House) -> None:
    before = house.settle()

    async def use(shell: Shell) -> None:
        for _ in range(3):
            shell.begin("sh", "-c", "setsid sleep 60 & sleep 60")
        await asyncio.sleep(0.3)

    using(house, use)
    assert house.settle() == before


def test_who_is_being_killed_has_its_place_until_it_is_gone(house: House) -> None:
    slow = "x = bytearray(20 << 20)\nprint('up', flush=True)\nimport time; time.sleep(60)"
    limits = Limits(process_count=200, memory_bytes=3072 * MIB, cpu_time=timedelta(minutes=1))

    async def use(shell: Shell) -> None:
        begun = [shell.begin("python3", "-Ic", slow) for _ in range(MAX_PROGRAMS)]
        await until(lambda: all(pieces for _, _, pieces in begun))
        for task, _, _ in begun:
            task.cancel()
        await asyncio.gather(*(task for task, _, _ in begun), return_exceptions=True)
        again = [shell.begin("true") for _ in range(MAX_PROGRAMS)]
        ended = await asyncio.gather(*(task for task, _, _ in again), return_exceptions=True)
        refused = [one for one in ended if isinstance(one, Busy)]
        assert {one.reason for one in refused} == {"EXECS_FULL"}
        await asyncio.sleep(0.5)
        assert (await shell.run("echo lives"))[1] == "lives\n"

    using(house, use, limits)


def test_many_files_that_are_read_take_few_descriptors(house: House) -> None:
    async def use(shell: Shell) -> None:
        await shell.run("seq 500 | xargs touch")
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 32, limits[1]))
        try:
            assert len(await shell.lasting.read((OutputPath("*"),))) == 500
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    using(house, use)


def test_what_cannot_be_killed_alone_is_killed_with_its_sandbox(house: House) -> None:
    many = "for d in $(seq 20); do mkdir $d; (cd $d; seq 100 | xargs touch); done"
    patterns = tuple(OutputPath(f"**/**/**/**/no{n}*", optional=True) for n in range(64))

    async def use(shell: Shell) -> None:
        await shell.run(many)
        task, live, pieces = shell.begin("sh", "-c", "trap '' USR1; echo up; exec sleep 60")
        await until(lambda: bool(pieces))
        reading = asyncio.create_task(shell.lasting.read(patterns))
        await asyncio.sleep(0)  # init is busy from now on, and what it is told waits
        for _ in range(5000):
            live.signal(signal.SIGUSR1)
        task.cancel()
        ended = await asyncio.gather(task, reading, return_exceptions=True)
        assert isinstance(ended[1], SandboxEnded)
        assert shell.lasting.cause == "its init did not answer in time"

    using(house, use)
