"""Groups over gRPC: both clients, slots all at once, and everything that is refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from post import eventually, marker, posted, sleepers

from sandboxd.client import Client, SyncClient
from sandboxd.errors import JobError, PreconditionError
from sandboxd.model.group import End, EndRule, Group, Member, Pipe
from sandboxd.model.job import InputFile, Job, OutputPath
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited, LimitExceeded, Signaled
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")

LONG = Limits(wall_time=timedelta(minutes=2))
JUDGE = "read guess; test $guess = 42 && echo right || echo wrong; echo seen $guess >&2"
SOLVER = "echo 42; read answer; test $answer = right"


def member(name: str, script: str, **fields: Any) -> Member:
    return Member(name, Job(argv=("sh", "-c", script), **{"limits": LONG, **fields}))


DIALOGUE = Group(
    members=(member("judge", JUDGE), member("solver", SOLVER)),
    pipes=(
        Pipe(writer=End("solver", 1), reader=End("judge", 0), record_bytes=100),
        Pipe(writer=End("judge", 1), reader=End("solver", 0)),
    ),
)


@pytest.fixture
async def client(post: Post) -> AsyncIterator[Client]:
    async with Client(post.unix) as client:
        yield client


def rpc_of(client: Client) -> Any:
    return pb_grpc.RunnerServiceStub(client.channel).RunGroup  # type: ignore[no-untyped-call]  # generated


async def test_two_programs_talk(client: Client) -> None:
    result = await client.run_group(DIALOGUE)
    assert [one.result.ending for one in result.members] == [Exited(0), Exited(0)]
    assert [one.name for one in result.members] == ["judge", "solver"]
    assert result.members[0].result.stderr.data == b"seen 42\n"
    (record,) = result.records
    assert (record.name, record.total_bytes) == ("solver-judge", 3)
    assert b"".join(data for _, data in record.pieces) == b"42\n"


async def test_plain_code_runs_groups_too(post: Post) -> None:
    def run() -> list[object]:
        with SyncClient(post.tcp) as client:
            return [one.result.ending for one in client.run_group(DIALOGUE).members]

    assert await asyncio.to_thread(run) == [Exited(0), Exited(0)]


async def test_files_and_rules_travel(client: Client) -> None:
    group = Group(
        members=(
            member(
                "a", "cat in > out", files=(InputFile("in", b"x"),), outputs=(OutputPath("out"),)
            ),
            member("b", "sleep 60"),
        ),
        end_rule=EndRule.STOP_ON_FIRST_END,
    )
    a, b = (await client.run_group(group)).members
    assert a.result.files[0].content == b"x"
    assert (b.result.ending, b.stopped, b.end_place) == (Signaled("KILL"), True, 2)
    group = Group(members=(member("a", "sleep 60"),), wall_time=timedelta(seconds=0.3))
    (only,) = (await client.run_group(group)).members
    assert only.result.ending == LimitExceeded("wall_time")


async def test_descriptors_default_to_output_and_input(client: Client) -> None:
    request = pb.RunGroupRequest(
        members=[
            pb.GroupMember(name="a", job=pb.Job(argv=["echo", "word"])),
            pb.GroupMember(name="b", job=pb.Job(argv=["cat"])),
        ],
        pipes=[pb.GroupPipe(writer=pb.PipeEnd(member="a"), reader=pb.PipeEnd(member="b"))],
    )
    call = client.open(rpc_of(client), None, request)
    response = await call
    assert response.results[1].response.stdout.data == b"word\n"


async def test_members_have_their_slots_all_at_once(tmp_path: Path) -> None:
    async with posted(tmp_path, slot_count=3) as post, Client(post.unix) as client:
        admission = post.server.admission
        sleep = marker()
        two = [asyncio.create_task(client.run(["sleep", sleep], limits=LONG)) for _ in range(2)]
        await eventually(lambda: admission.held_count == 2)
        group = asyncio.create_task(client.run_group(DIALOGUE))
        await eventually(lambda: admission.waiting_count == 2)
        other = asyncio.create_task(client.run(["true"]))
        await eventually(lambda: admission.waiting_count == 3)
        assert admission.held_count == 2, "who comes later does not take what the group waits for"
        two[0].cancel()
        assert [one.result.ending for one in (await group).members] == [Exited(0), Exited(0)]
        assert (await other).ending == Exited(0)
        two[1].cancel()
        await asyncio.gather(*two, return_exceptions=True)


async def test_who_leaves_takes_all_members_along(post: Post, client: Client) -> None:
    sleep = marker()
    group = Group(members=(member("a", f"sleep {sleep}"), member("b", f"sleep {sleep}")))
    task = asyncio.create_task(client.run_group(group))
    await eventually(lambda: len(sleepers(sleep)) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await eventually(lambda: not sleepers(sleep))
    await eventually(lambda: post.server.admission.held_count == 0)


# --- errors ---------------------------------------------------------------------------------------

A, B = pb.GroupMember(name="a"), pb.GroupMember(name="b")
for one in (A, B):
    one.job.argv.append("true")


def joined(writer: str, reader: str, *numbers: int, **fields: Any) -> pb.GroupPipe:
    pipe = pb.GroupPipe(writer={"member": writer}, reader={"member": reader}, **fields)
    if numbers:
        pipe.writer.descriptor, pipe.reader.descriptor = numbers
    return pipe


def with_job(**job: Any) -> pb.GroupMember:
    return pb.GroupMember(name="c", job=pb.Job(argv=["true"], **job))


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nobody": ({}, ["members"]),
    "too many": ({"members": [A] * 17}, ["members"]),
    "more than slots": (
        {"members": [pb.GroupMember(name=f"m{n}", job=A.job) for n in range(16)]},
        ["members"],
    ),
    "no name": ({"members": [pb.GroupMember(job=A.job), B]}, ["members[0].name"]),
    "one name twice": ({"members": [A, A]}, ["members[1].name"]),
    "bad jobs": (
        {"members": [pb.GroupMember(name="x"), with_job(policy=""), pb.GroupMember(name="y")]},
        ["members[0].job.argv", "members[2].job.argv"],
    ),
    "a limit": (
        {"members": [A, with_job(limits=pb.Limits(memory_bytes=1 << 50))]},
        ["members[1].job.limits.memory_bytes"],
    ),
    "a terminal": ({"members": [with_job(terminal=pb.Terminal())]}, ["members[0].job.terminal"]),
    "own processors": (
        {"members": [with_job(exclusive_cpus=True)]},
        ["members[0].job.exclusive_cpus"],
    ),
    "input beside a pipe": (
        {"members": [A, with_job(stdin=pb.Content(data=b"x"))], "pipes": [joined("a", "c")]},
        ["members[1].job.stdin"],
    ),
    "merged beside a pipe": (
        {"members": [A, with_job(merge_stderr=True)], "pipes": [joined("c", "a", 2, 0)]},
        ["members[1].job.merge_stderr"],
    ),
    "an end that is nobody's": (
        {"members": [A, B], "pipes": [joined("a", "")]},
        ["pipes[0].reader.member"],
    ),
    "an end twice": (
        {"members": [A, B], "pipes": [joined("a", "b", 1, 0), joined("a", "b", 1, 3)]},
        ["pipes[1].writer.descriptor"],
    ),
    "a descriptor too high": (
        {"members": [A, B], "pipes": [joined("a", "b", 10, -1)]},
        ["pipes[0].writer.descriptor", "pipes[0].reader.descriptor"],
    ),
    "a pipe to itself": (
        {"members": [A, B], "pipes": [joined("a", "a", 1, 0)]},
        ["pipes[0].reader.member"],
    ),
    "a record too large": (
        {"members": [A, B], "pipes": [joined("a", "b", record_bytes=1 << 40)]},
        ["pipes[0].record_bytes", "pipes"],
    ),
    "a name of a pipe twice": (
        {
            "members": [A, B],
            "pipes": [joined("a", "b", name="n"), joined("b", "a", name="n")],
        },
        ["pipes[1].name"],
    ),
    "too many pipes": ({"members": [A, B], "pipes": [joined("a", "b")] * 33}, ["pipes"]),
    "no rule": ({"members": [A], "end_rule": 77}, ["end_rule"]),
    "no time": ({"members": [A], "wall_time": {"seconds": 0}}, ["wall_time"]),
    "too few open files": (
        {
            "members": [A, with_job(limits=pb.Limits(open_file_count=5))],
            "pipes": [joined("c", "a", 9, 0)],
        },
        ["members[1].job.limits.open_file_count"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_run_group_invalid_argument_names_each_field(
    post: Post, client: Client, case: str
) -> None:
    fields, wanted = WRONG[case]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.open(rpc_of(client), None, pb.RunGroupRequest(**fields))
    error = client.error_of(caught.value)
    assert isinstance(error, JobError)
    assert [violation.field for violation in error.violations] == wanted
    assert post.server.admission.held_count == 0


async def test_a_policy_that_is_unknown_ends_the_group_before_it_begins(client: Client) -> None:
    group = Group(members=(member("a", "true"), member("b", "true", policy="none")))
    with pytest.raises(PreconditionError, match="cannot find policy 'none'"):
        await client.run_group(group)
