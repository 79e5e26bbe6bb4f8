"""Jobs that run live: input as it comes, output as it goes, signals, a terminal, a polite end."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from house import seconds

from sandboxd.model.job import Job, Terminal
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded, NotStarted, Signaled
from sandboxd.runtime.live import Live, Piece

if TYPE_CHECKING:
    from house import House

    from sandboxd.model.outcome import RunResult

TRAPPED = "trap 'echo told; exit 7' TERM; echo ready; while :; do sleep 0.01; done"
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
FOREVER = Limits(wall_time=timedelta(seconds=60), cpu_time=timedelta(seconds=60))


class Talk:
    """A live job, and what is heard of it."""

    def __init__(self, house: House, *argv: str, takes_input: bool = False, **fields: Any) -> None:
        self.pieces: list[Piece] = []
        self.times: list[timedelta] = []
        self._heard = asyncio.Event()
        self.live = Live(
            self._take, lambda *times: self.times.extend(times), takes_input=takes_input
        )
        self.work = asyncio.create_task(
            house.supervisor.run(Job(argv=argv, **fields), live=self.live)
        )

    def _take(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self._heard.set()

    def text(self, stream: int = 1) -> bytes:
        return b"".join(piece.data for piece in self.pieces if piece.stream == stream)

    async def until(self, end: bytes) -> None:
        """Wait until the program has written this as its latest."""
        while not self.text().endswith(end):
            self._heard.clear()
            await self._heard.wait()

    async def over(self) -> RunResult:
        async with asyncio.timeout(30):
            return await self.work


def test_input_comes_live_and_ends_when_it_is_said(house: House) -> None:
    async def talk() -> None:
        cat = Talk(house, "cat", takes_input=True)
        for word in (b"one\n", b"two\n"):
            await cat.live.write(word)
            await cat.until(word)
        await cat.live.end_input()
        result = await cat.over()
        assert result.ending == Exited(0)
        assert cat.text() == b"one\ntwo\n"
        assert result.stdout.total_bytes == 8
        assert not result.stdout.data, "nothing is kept"
        await cat.live.write(b"late")  # is dropped, and hangs nobody

    house.do(talk())


def test_each_piece_tells_its_stream_its_offset_and_its_time(house: House) -> None:
    script = "echo a; sleep 0.05; echo bc >&2; sleep 0.05; echo d; sleep 0.05; echo e >&2"

    async def talk() -> None:
        shell = Talk(house, "sh", "-c", script)
        result = await shell.over()
        heard = [(piece.stream, piece.offset, piece.data) for piece in shell.pieces]
        assert heard == [(1, 0, b"a\n"), (2, 0, b"bc\n"), (1, 2, b"d\n"), (2, 3, b"e\n")]
        times = [piece.time_ns for piece in shell.pieces]
        assert times == sorted(times)
        assert times[3] - times[0] >= 140e6
        assert timedelta(microseconds=times[-1] / 1000) <= result.usage.wall_time + seconds(1)
        assert len(shell.times) == 2, "it was told of the start, once"

    house.do(talk())


def test_who_does_not_take_the_output_stops_the_program(house: House) -> None:
    script = "import os\nfor n in range(64): os.write(1, b'x' * 65536); os.write(2, b'.')"

    async def talk() -> None:
        writer = Talk(house, "python3", "-c", script, limits=FOREVER)
        await writer.until(b"x")
        writer.live.pause_output(is_paused=True)
        before = len(writer.text())
        await asyncio.sleep(0.5)
        assert len(writer.text()) == before
        assert before < 4 * MIB, "it had not written all"
        assert not writer.work.done()
        writer.live.pause_output(is_paused=False)
        result = await writer.over()
        assert result.ending == Exited(0)
        assert len(writer.text()) == 4 * MIB
        assert len(writer.text(2)) == 64

    house.do(talk())


def test_what_is_left_in_the_pipe_at_the_end_comes_even_when_paused(house: House) -> None:
    async def talk() -> None:
        writer = Talk(house, "sh", "-c", "echo a; read word; echo b", takes_input=True)
        await writer.until(b"a\n")
        writer.live.pause_output(is_paused=True)
        await writer.live.end_input()
        await writer.over()
        assert writer.text() == b"a\nb\n"

    house.do(talk())


def test_output_is_not_bounded_unless_that_is_asked(house: House) -> None:
    async def talk() -> None:
        free = Talk(house, "head", "-c", "3000000", "/dev/zero")
        result = await free.over()
        assert len(free.text()) == 3_000_000
        assert "output_bytes" not in {limit.limit for limit in result.outcome.enforced}
        bound = Talk(house, "head", "-c", "3000000", "/dev/zero", limits=Limits(output_bytes=1000))
        result = await bound.over()
        assert len(bound.text()) == 1000
        assert result.stdout.total_bytes == 3_000_000
        assert result.outcome.limits_touched == ("output_bytes",)

    house.do(talk())


def test_a_large_input_waits_for_the_program(house: House) -> None:
    script = "import sys,hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"

    async def talk() -> None:
        piece, count = b"0123456789abcdef" * 4096, 200
        reader = Talk(house, "python3", "-c", script, takes_input=True, limits=FOREVER)
        for _ in range(count):
            await reader.live.write(piece)
        await reader.live.end_input()
        assert (await reader.over()).ending == Exited(0)
        assert reader.text().decode().strip() == hashlib.sha256(piece * count).hexdigest()

    house.do(talk())


def test_who_writes_to_a_program_that_reads_nothing_is_let_go_at_its_end(house: House) -> None:
    async def talk() -> None:
        for argv in (("sleep", "0.2"), ("sh", "-c", "exec <&-; sleep 0.2")):
            deaf = Talk(house, *argv, takes_input=True)
            async with asyncio.timeout(10):
                await deaf.live.write(b"x" * (8 * MIB))
            assert (await deaf.over()).ending == Exited(0)

    house.do(talk())


def test_a_signal_reaches_the_program_and_its_children(house: House) -> None:
    script = "trap 'wait; echo parent; exit 3' USR1; "
    script += (
        "sh -c 'trap \"echo child; exit\" USR1; echo ready; while :; do sleep 0.01; done' & wait"
    )

    async def talk() -> None:
        shell = Talk(house, "sh", "-c", script)
        await shell.until(b"ready\n")
        shell.live.signal(signal.SIGUSR1)
        assert (await shell.over()).ending == Exited(3)
        assert shell.text() == b"ready\nchild\nparent\n"

    house.do(talk())


def test_what_is_said_before_the_start_waits_for_it(house: House) -> None:
    async def talk() -> None:
        cat = Talk(house, "sleep", "60", takes_input=True)
        cat.live.signal(signal.SIGTERM)
        assert (await cat.over()).ending == Signaled("TERM")

    house.do(talk())


@pytest.mark.parametrize(
    ("script", "grace", "ending"),
    [(TRAPPED, 20, Exited(7)), (DEAF, 0.2, Signaled("KILL")), (TRAPPED, 0, Signaled("KILL"))],
)
def test_a_cancelled_program_has_its_grace(
    house: House, script: str, grace: float, ending: object
) -> None:
    async def talk() -> None:
        shell = Talk(house, "sh", "-c", script, limits=FOREVER)
        await shell.until(b"ready\n")
        shell.live.cancel(signal.SIGTERM, timedelta(seconds=grace))
        assert (await shell.over()).ending == ending

    house.do(talk())


def test_a_caller_may_kill_for_a_limit(house: House) -> None:
    async def talk() -> None:
        shell = Talk(house, "sh", "-c", DEAF)
        await shell.until(b"ready\n")
        shell.live.kill("wall_time")
        assert (await shell.over()).ending == LimitExceeded("wall_time")

    house.do(talk())


def test_a_terminal_is_typed_at_resized_and_ends_by_its_own_character(house: House) -> None:
    async def talk() -> None:
        shell = Talk(
            house,
            "sh",
            "-c",
            "stty size; trap 'stty size' WINCH; echo set; "
            "until read a; do :; done; until read b; do :; done; echo $b; cat",
            terminal=Terminal(rows=10, columns=20, echo=False),
            takes_input=True,
        )
        await shell.until(b"10 20\r\nset\r\n")
        shell.live.resize(30, 40)
        await shell.live.write(b"first\n")
        await shell.until(b"30 40\r\n")
        await shell.live.write(b"second\n")
        await shell.until(b"second\r\n")
        await shell.live.end_input()
        assert (await shell.over()).ending == Exited(0)
        shell.live.resize(1, 1)  # is dropped

    house.do(talk())


def test_ctrl_c_typed_at_a_terminal_ends_the_program(house: House) -> None:
    async def talk() -> None:
        shell = Talk(house, "sh", "-c", "echo ready; exec sleep 60", terminal=Terminal())
        await shell.until(b"ready\r\n")
        await shell.live.write(b"\x03")
        assert (await shell.over()).ending == Signaled("INT")

    house.do(talk())


def test_a_program_that_cannot_be_executed_hangs_no_writer(house: House) -> None:
    async def talk() -> None:
        none = Talk(house, "/no/such", takes_input=True)
        async with asyncio.timeout(10):
            await none.live.write(b"x")
            await none.live.end_input()
        assert isinstance((await none.over()).ending, NotStarted)
        assert not none.times

    house.do(talk())
