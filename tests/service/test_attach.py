"""Live jobs over gRPC: both clients, both directions, and everything that may go wrong between."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from post import AT_ONCE, PATIENCE, eventually, marker, posted, sleepers

from sandboxd.client import Client, SyncClient
from sandboxd.errors import Busy, JobError, PreconditionError, RequestError, StreamIdle
from sandboxd.model.job import InputFile, OutputPath, Terminal
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded, NotStarted, Signaled
from sandboxd.server import attaching
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from post import Post

    from sandboxd.attached import Attached

pytestmark = pytest.mark.usefixtures("sandboxing_host")

LONG = Limits(wall_time=timedelta(minutes=5), cpu_time=timedelta(minutes=5))
ECHO = ("sh", "-c", "while read line; do echo $line; done")
FLOOD = ("sh", "-c", "echo begun; cat /dev/zero")


@pytest.fixture
async def client(post: Post) -> AsyncIterator[Client]:
    async with Client(post.unix) as client:
        yield client


def rpc_of(client: Client) -> Any:
    return pb_grpc.RunnerServiceStub(client.channel).Attach  # type: ignore[no-untyped-call]  # generated


async def until(program: Attached, text: bytes) -> bytes:
    """Take output until it ends so."""
    heard = b""
    async for piece in program:
        heard += piece.data
        if heard.endswith(text):
            return heard
    raise AssertionError(f"only heard {heard!r}")


async def test_a_program_answers_each_line_and_ends_with_its_input(client: Client) -> None:
    async with client.attach(ECHO) as program:
        for word in (b"one\n", b"two\n"):
            await program.write(word)
            assert await until(program, word) == word
        await program.end_input()
        result = await program.result()
    assert result.ending == Exited(0)
    assert (result.stdout.total_bytes, result.stdout.data) == (8, b"")


async def test_pieces_tell_streams_offsets_and_times(client: Client) -> None:
    script = "echo a; sleep 0.05; echo bc >&2; sleep 0.05; echo d"
    async with client.attach(["sh", "-c", script]) as program:
        pieces = [piece async for piece in program]
        result = await program.result()
    assert [piece[:2] + piece[3:] for piece in pieces] == [
        (1, 0, b"a\n"),
        (2, 0, b"bc\n"),
        (1, 2, b"d\n"),
    ]
    assert pieces[0].time + timedelta(milliseconds=90) < pieces[2].time
    assert (result.stdout.total_bytes, result.stderr.total_bytes) == (4, 3)


async def test_files_go_in_and_out_and_the_job_is_as_any_other(client: Client) -> None:
    async with client.attach(
        ["sh", "-c", "cat in > out; echo $WORD"],
        env={"WORD": "said"},
        files=(InputFile("in", b"content"),),
        outputs=(OutputPath("out"),),
    ) as program:
        assert await until(program, b"said\n")
        result = await program.result()
    assert result.files[0].content == b"content"
    assert result.usage.wall_time > timedelta()


async def test_an_input_of_the_job_itself_needs_no_more(client: Client) -> None:
    async with client.attach(["cat"], stdin=b"all of it") as program:
        assert await until(program, b"all of it")
        assert (await program.result()).ending == Exited(0)


async def test_the_end_of_requests_is_the_end_of_input(post: Post) -> None:
    async with Client(post.unix) as client:
        requests = iter([first(argv=["cat"]), pb.AttachRequest(stdin=b"x")])
        answers = [answer async for answer in client.open(rpc_of(client), None, requests)]
    assert [answer.WhichOneof("event") for answer in answers] == ["started", "output", "ended"]
    assert answers[-1].ended.outcome.exited.exit_code == 0


async def test_signals_reach_the_program(client: Client) -> None:
    script = "trap 'echo told; exit 5' USR1; echo ready; while :; do sleep 0.01; done"
    async with client.attach(["sh", "-c", script]) as program:
        await until(program, b"ready\n")
        await program.signal("USR1")
        await until(program, b"told\n")
        assert (await program.result()).ending == Exited(5)


async def test_a_cancelled_program_may_comply(client: Client) -> None:
    script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    async with client.attach(["sh", "-c", script], limits=LONG) as program:
        await until(program, b"ready\n")
        await program.cancel()
        assert (await program.result()).ending == Exited(5)


async def test_one_that_does_not_comply_is_killed_with_all_that_it_started(
    client: Client,
) -> None:
    sleep = marker()
    script = f"trap '' TERM; (trap '' TERM; setsid sleep {sleep}) & echo ready; wait"
    async with client.attach(["sh", "-c", script], limits=LONG) as program:
        await until(program, b"ready\n")
        await eventually(lambda: len(sleepers(sleep)) == 1)
        await program.cancel(grace=timedelta(milliseconds=100))
        assert (await program.result()).ending == Signaled("KILL")
    assert not sleepers(sleep)


async def test_a_terminal_is_a_terminal(client: Client) -> None:
    script = "tty; stty size; trap 'stty size' WINCH; echo set; "
    script += "until read line; do :; done; echo got $line; exit 3"
    async with client.attach(
        ["sh", "-c", script], terminal=Terminal(rows=30, columns=90, echo=False)
    ) as program:
        assert b"/dev/pts/0\r\n30 90\r\n" in await until(program, b"set\r\n")
        await program.resize(31, 91)
        await program.write(b"word\n")
        assert await until(program, b"got word\r\n")
        assert (await program.result()).ending == Exited(3)


async def test_a_shell_on_a_terminal_keeps_its_state(client: Client) -> None:
    async with client.attach(["bash", "--norc"], terminal=Terminal()) as program:
        await program.write(b"x=6; PS1=; stty -echo\n")
        await program.write(b"echo $((x * 7)):\n")
        await until(program, b"42:\r\n")
        await program.write(b"\x04")
        assert (await program.result()).ending == Exited(0)


async def test_a_caller_that_does_not_read_stops_the_program_and_not_the_server(
    post: Post, client: Client
) -> None:
    async with client.attach(FLOOD, limits=LONG) as program:
        await asyncio.sleep(0.5)
        before = memory_bytes()
        await asyncio.sleep(0.5)
        assert memory_bytes() - before < 8 * MIB
        async with Client(post.unix) as other:
            assert (await other.run(["true"])).ending == Exited(0)
        heard = 0
        async for piece in program:
            heard += len(piece.data)
            if heard > 64 * MIB:
                break


async def test_a_large_input_arrives_whole_and_little_of_it_waits(client: Client) -> None:
    script = "import hashlib,sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    piece, count = os.urandom(MIB), 64
    wanted = hashlib.sha256()
    async with client.attach(["python3", "-c", script], limits=LONG) as program:
        for _ in range(count):
            await program.write(piece)
            wanted.update(piece)
        await program.end_input()
        assert await until(program, b"\n") == wanted.hexdigest().encode() + b"\n"


async def test_who_sends_to_a_program_that_reads_nothing_hears_its_end(client: Client) -> None:
    async with client.attach(["sh", "-c", "sleep 0.3; exit 4"], limits=LONG) as program:
        writing = asyncio.create_task(program.write(b"x" * (32 * MIB)))
        assert (await program.result()).ending == Exited(4)
        await asyncio.wait_for(writing, PATIENCE)


async def test_a_limit_ends_a_live_job_as_any_other(client: Client) -> None:
    async with client.attach(["cat"], limits=Limits(wall_time=timedelta(seconds=0.2))) as program:
        assert (await program.result()).ending == LimitExceeded("wall_time")
    async with client.attach(
        ["yes"], limits=Limits(output_bytes=1000, stop_on_output=True)
    ) as program:
        heard = b"".join([piece.data async for piece in program])
        assert (await program.result()).ending == LimitExceeded("output_bytes")
    assert len(heard) == 1000


async def test_what_cannot_be_executed_is_told_without_a_start(client: Client) -> None:
    async with client.attach(["/no/such"]) as program:
        assert isinstance((await program.result()).ending, NotStarted)


async def test_who_leaves_takes_the_job_along(post: Post, client: Client) -> None:
    sleep = marker()
    async with client.attach(["sleep", sleep], limits=LONG):
        await eventually(lambda: len(sleepers(sleep)) == 1)
    await eventually(lambda: not sleepers(sleep), AT_ONCE)
    await eventually(lambda: post.server.admission.held_count == 0)


# --- by the synchronous client --------------------------------------------------------------------


async def test_plain_code_talks_to_a_program_too(post: Post) -> None:
    def talk() -> tuple[bytes, object]:
        with SyncClient(post.tcp) as client, client.attach(ECHO) as program:
            program.write(b"word\n")
            heard = next(iter(program)).data
            program.end_input()
            return heard, program.result().ending

    assert await asyncio.to_thread(talk) == (b"word\n", Exited(0))


async def test_plain_code_leaves_nothing_behind(post: Post) -> None:
    sleep = marker()

    def talk() -> None:
        with SyncClient(post.unix) as client:
            with client.attach(["sleep", sleep], limits=LONG) as program:
                program.write(b"x")
                while len(sleepers(sleep)) != 1:
                    pass
            with client.attach(["sh", "-c", "sleep 60"], limits=LONG) as program:
                program.cancel(grace=timedelta())
                assert program.result().ending == Signaled("KILL")

    await asyncio.to_thread(talk)
    await eventually(lambda: not sleepers(sleep), AT_ONCE)
    assert threading.active_count() < 16


# --- errors ---------------------------------------------------------------------------------------


def first(**job: Any) -> pb.AttachRequest:
    return pb.AttachRequest(job=pb.Job(**job))


SLEEP = first(argv=["sleep", "60"])
WRONG = {
    "no job": ([pb.AttachRequest(stdin=b"x")], "job"),
    "nothing at all": ([], "job"),
    "an empty message": ([pb.AttachRequest()], "job"),
    "a bad job": ([first(argv=[])], "job.argv"),
    "a second job": ([SLEEP, SLEEP], "job"),
    "an empty word": ([SLEEP, pb.AttachRequest()], "input"),
    "no signal": ([SLEEP, pb.AttachRequest(signal=pb.SendSignal(name="SIGTERM"))], "signal.name"),
    "no size": (
        [SLEEP, pb.AttachRequest(window_size=pb.WindowSize(rows=1))],
        "window_size.columns",
    ),
    "no grace": (
        [SLEEP, pb.AttachRequest(cancel=pb.Cancel(grace={"seconds": -1}))],
        "cancel.grace",
    ),
    "input after its end": (
        [SLEEP, pb.AttachRequest(stdin_end=pb.StdinEnd()), pb.AttachRequest(stdin=b"x")],
        "stdin",
    ),
    "input beside the job's": (
        [first(argv=["cat"], stdin=pb.Content(data=b"x")), pb.AttachRequest(stdin=b"y")],
        "stdin",
    ),
    "too much at once": ([SLEEP, pb.AttachRequest(stdin=b"x" * (4 * MIB + 1))], "stdin"),
    "a terminal with input": (
        [first(argv=["cat"], stdin=pb.Content(data=b"x"), terminal=pb.Terminal())],
        "job.stdin",
    ),
    "a large terminal": ([first(argv=["cat"], terminal=pb.Terminal(rows=5000))], "job.terminal"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_attach_invalid_argument_names_what_is_wrong_and_kills(
    post: Post, client: Client, case: str
) -> None:
    requests, field = WRONG[case]

    async def said() -> AsyncIterator[pb.AttachRequest]:
        for request in requests:
            yield request
        if requests:  # its end would be no mistake
            await asyncio.sleep(PATIENCE)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [answer async for answer in client.open(rpc_of(client), None, said())]
    error = client.error_of(caught.value)
    assert isinstance(error, JobError)
    assert isinstance(error, RequestError) or field.startswith("job.")
    assert [violation.field for violation in error.violations] == [field.removeprefix("job.")]
    await eventually(lambda: post.server.admission.held_count == 0)


async def test_a_terminal_is_only_for_live_jobs(client: Client) -> None:
    with pytest.raises(JobError, match="terminal: must be unset"):
        await client.run(["true"], terminal=Terminal())


async def test_a_policy_that_is_unknown_is_told_at_once(client: Client) -> None:
    async with client.attach(["true"], policy="none") as program:
        with pytest.raises(PreconditionError, match="cannot find policy 'none'"):
            await program.result()


async def test_attach_deadline_exceeded_kills_the_job(post: Post, client: Client) -> None:
    sleep = marker()
    async with client.attach(
        ["sleep", sleep], limits=LONG, timeout=timedelta(seconds=0.5)
    ) as program:
        with pytest.raises(TimeoutError):
            await program.result()
    await eventually(lambda: not sleepers(sleep))
    await eventually(lambda: post.server.admission.held_count == 0)


async def test_attach_deadline_exceeded_for_who_sends_no_job(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "FIRST_SECONDS", 0.2)
    call = client.open(rpc_of(client), None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert isinstance(client.error_of(caught.value), StreamIdle)


async def test_attach_deadline_exceeded_for_who_takes_nothing_after_the_end(
    post: Post, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "LAST_SECONDS", 0.3)
    big = OutputPath("big", max_bytes=48 * MIB)
    async with client.attach(
        ["sh", "-c", "head -c 48M /dev/zero > big"], outputs=(big,)
    ) as program:
        await eventually(lambda: post.server.admission.held_count == 1)
        await eventually(lambda: post.server.admission.held_count == 0)  # the slot is free already
        await asyncio.sleep(1)
        with pytest.raises(StreamIdle):
            await program.result()


async def test_a_job_waits_for_its_turn_and_its_input_with_it(tmp_path: Path) -> None:
    async with (
        posted(tmp_path, slot_count=1) as post,
        Client(post.unix) as client,
        client.attach(["sleep", "60"], limits=LONG) as busy,
    ):
        await eventually(lambda: post.server.admission.held_count == 1)
        async with client.attach(["cat"]) as waiting:
            await waiting.write(b"early\n")
            await eventually(lambda: post.server.admission.waiting_count == 1)
            await busy.cancel(grace=timedelta())
            await until(waiting, b"early\n")
            await waiting.end_input()
            assert (await waiting.result()).ending == Exited(0)


def memory_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_who_does_not_take_its_answers_gets_no_further_job(
    post: Post, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post.server._service._untaken, "_most_bytes", 8 * MIB)  # noqa: SLF001
    big = OutputPath("big", max_bytes=32 * MIB)
    script = "head -c 32M /dev/zero > big"
    async with client.attach(["sh", "-c", script], outputs=(big,)) as program:
        await eventually(lambda: post.server.admission.held_count == 1)
        await eventually(lambda: post.server.admission.held_count == 0)

        async def refused() -> bool:
            try:
                await client.run(["true"])
            except Busy as busy:
                return busy.reason == "ANSWERS_UNTAKEN"
            return False

        async with asyncio.timeout(PATIENCE):
            while not await refused():  # noqa: ASYNC110 - the server tells no other way
                await asyncio.sleep(0.01)
        assert (await program.result()).files[0].content == bytes(32 * MIB)
    await eventually(lambda: not post.server._service._untaken._bytes)  # noqa: SLF001
    assert (await client.run(["true"])).ending == Exited(0)
