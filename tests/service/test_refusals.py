"""Every row of the table of errors: its status, its details, and that nothing was started."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import PreconditionFailure, RetryInfo
from post import (
    AT_ONCE,
    PATIENCE,
    daemon,
    eventually,
    marker,
    parent_of,
    posted,
    refusal,
    request,
    sleep_request,
    sleeper,
    sleepers,
    stub_of,
)

from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path

    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")

Code = grpc.StatusCode
MIB = 1 << 20
RUN = "/sandboxd.v1.RunnerService/Run"
GET_HOST = "/sandboxd.v1.RunnerService/GetHost"


# --- INVALID_ARGUMENT -----------------------------------------------------------------------------


def file(path: str, data: bytes = b"") -> pb.InputFile:
    return pb.InputFile(path=path, content=pb.Content(data=data))


def job(**fields: Any) -> dict[str, Any]:
    return {"argv": ["true"], **fields}


def limits(**fields: Any) -> dict[str, Any]:
    return job(limits=pb.Limits(**fields))


MEANINGLESS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "empty argv": (job(argv=[]), {"job.argv": "program"}),
    "empty program": (job(argv=["", "x"]), {"job.argv[0]": "empty"}),
    "NUL in an argument": (job(argv=["echo", "a\0b"]), {"job.argv[1]": "NUL"}),
    "NUL in a name": (job(env={"A\0": "x"}), {r"job.env['A\x00']": "NUL"}),
    "NUL in a value": (job(env={"A": "\0"}), {"job.env['A']": "NUL"}),
    "empty name": (job(env={"": "x"}), {"job.env['']": "empty"}),
    "equals in a name": (job(env={"A=B": "x"}), {"job.env['A=B']": "'='"}),
    "over-long name": (job(env={"A" * 256: "x"}), {f"job.env[{'A' * 255!r}]": "255 bytes"}),
    "over-long argument": (job(argv=["echo", "x" * 131072]), {"job.argv[1]": "131071 bytes"}),
    "too many arguments": (job(argv=["x"] * 16385), {"job.argv": "16384"}),
    "too much of them": (job(argv=["x" * 131000] * 9), {"job.argv": "1048576"}),
    "too many variables": (job(env={f"V{n}": "" for n in range(1025)}), {"job.env": "1024"}),
    "relative directory": (job(working_directory="tmp"), {"job.working_directory": "absolute"}),
    "climbing directory": (job(working_directory="/tmp/../etc"), {"job.working_directory": "'..'"}),
    "climbing path": (job(files=[file("../x")]), {"job.files[0].path": "'..'"}),
    "climbing inside": (job(files=[file("a/../../x")]), {"job.files[0].path": "'..'"}),
    "dotted path": (job(files=[file("./x")]), {"job.files[0].path": "'.'"}),
    "empty path": (job(files=[file("")]), {"job.files[0].path": "empty"}),
    "path outside": (job(files=[file("/etc/passwd")]), {"job.files[0].path": "/workspace"}),
    "the place itself": (job(files=[file("/tmp")]), {"job.files[0].path": "below"}),
    "NUL in a path": (job(files=[file("a\0")]), {"job.files[0].path": "NUL"}),
    "over-long part": (job(files=[file("x" * 256)]), {"job.files[0].path": "255 bytes"}),
    "over-long path": (job(files=[file("x/" * 2050 + "x")]), {"job.files[0].path": "4095"}),
    "one place twice": (
        job(files=[file("a"), file("b"), file("/workspace/a")]),
        {"job.files[2].path": "files[0]"},
    ),
    "file and directory": (job(files=[file("a"), file("a/b")]), {"job.files[1].path": "files[0]"}),
    "too many files": (job(files=[file(f"f{n}") for n in range(1025)]), {"job.files": "1024"}),
    "too many bytes": (
        job(files=[file("a", bytes(33 * MIB)), file("b", bytes(32 * MIB))]),
        {"job.files": "67108864"},
    ),
    "too much input": (
        job(stdin=pb.Content(data=bytes(64 * MIB + 1))),
        {"job.stdin": "67108864"},
    ),
    "content of no kind": (job(stdin=pb.Content()), {"job.stdin": "source"}),
    "file of no kind": (
        job(files=[pb.InputFile(path="a", content=pb.Content())]),
        {"job.files[0].content": "source"},
    ),
    "absolute output": (job(outputs=[pb.OutputPath(path="/x")]), {"job.outputs[0].path": "relati"}),
    "climbing output": (job(outputs=[pb.OutputPath(path="../x")]), {"job.outputs[0].path": "'..'"}),
    "an output twice": (
        job(outputs=[pb.OutputPath(path="x")] * 2),
        {"job.outputs[1].path": "twice"},
    ),
    "output of no size": (
        job(outputs=[pb.OutputPath(path="x", max_bytes=0)]),
        {"job.outputs[0].max_bytes": "from 1"},
    ),
    "too many outputs": (
        job(outputs=[pb.OutputPath(path=f"{n}") for n in range(257)]),
        {"job.outputs": "256"},
    ),
    "unknown network": (job(network=99), {"job.network": "knows"}),
    "negative count": (limits(process_count=-1), {"job.limits.process_count": "negative"}),
    "negative time": (limits(cpu_time=Duration(seconds=-1)), {"job.limits.cpu_time": "negative"}),
    "zero memory": (limits(memory_bytes=0), {"job.limits.memory_bytes": "zero"}),
    "zero time": (limits(wall_time=Duration()), {"job.limits.wall_time": "zero"}),
    "NaN": (limits(cpu_count=math.nan), {"job.limits.cpu_count": "finite"}),
    "infinity": (limits(cpu_count=math.inf), {"job.limits.cpu_count": "finite"}),
    "overflowing time": (
        limits(wall_time=Duration(seconds=2**63 - 1)),
        {"job.limits.wall_time": "Duration"},
    ),
    "overflowing nanos": (
        limits(cpu_time=Duration(seconds=1, nanos=2**31 - 1)),
        {"job.limits.cpu_time": "nanos"},
    ),
    "largest number": (limits(memory_bytes=2**63 - 1), {"job.limits.memory_bytes": "ceiling"}),
    "above a ceiling": (limits(process_count=4097), {"job.limits.process_count": "at most"}),
    "below a floor": (limits(open_file_count=3), {"job.limits.open_file_count": "at least 4"}),
    "several at once": (
        job(argv=[""], env={"": ""}, limits=pb.Limits(cpu_time=Duration(nanos=-1))),
        {"job.argv[0]": "empty", "job.env['']": "empty", "job.limits.cpu_time": "negative"},
    ),
}


@pytest.mark.parametrize("case", MEANINGLESS)
async def test_run_invalid_argument_names_every_field_and_its_rule(stub: Any, case: str) -> None:
    fields, rules = MEANINGLESS[case]
    refused = await refusal(stub.Run(pb.RunRequest(job=pb.Job(**fields))))
    assert refused.code is Code.INVALID_ARGUMENT
    assert refused.info.reason == "INVALID_JOB"
    assert refused.fields.keys() == rules.keys()
    for field, rule in rules.items():
        assert rule in refused.fields[field]


def tagged(number: int, data: bytes) -> bytes:
    """Build one length-delimited field of a message by hand."""
    assert number < 16
    assert len(data) < 128
    return bytes((number << 3 | 2, len(data))) + data


BAD = b"a\xff"
NO_TEXT = {
    "argument": (tagged(1, b"echo") + tagged(1, BAD), ["job.argv[1]"]),
    "variable": (tagged(1, b"env") + tagged(2, tagged(1, BAD) + tagged(2, b"x")), ["job.env"]),
    "directory": (tagged(3, BAD), ["job.working_directory"]),
    "path": (tagged(5, tagged(1, b"a")) + tagged(5, tagged(1, BAD)), ["job.files[1].path"]),
    "overlong": (tagged(8, b"\xc0\xaf"), ["job.policy"]),
    "surrogate": (tagged(13, b"\xed\xa0\x80"), ["job.require[0]"]),
    "two": (tagged(1, BAD) + tagged(9, BAD), ["job.argv[0]", "job.root"]),
}


@pytest.mark.parametrize("case", NO_TEXT)
async def test_run_invalid_argument_names_text_that_is_no_utf8(post: Post, case: str) -> None:
    body, fields = NO_TEXT[case]
    async with grpc.aio.insecure_channel(post.unix) as channel:
        refused = await refusal(channel.unary_unary(RUN)(tagged(1, body)))
    assert refused.code is Code.INVALID_ARGUMENT
    assert refused.info.reason == "INVALID_JOB"
    assert refused.fields == dict.fromkeys(fields, "must be valid UTF-8")


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("method", [RUN, GET_HOST])
async def test_get_host_invalid_argument_as_run_for_what_is_no_message(
    post: Post, method: str, data: bytes
) -> None:
    async with grpc.aio.insecure_channel(post.unix) as channel:
        refused = await refusal(channel.unary_unary(method)(data))
    assert refused.code is Code.INVALID_ARGUMENT
    assert list(refused.fields) == ["request"]


async def test_a_request_above_72_mib_is_refused_and_the_next_one_served(stub: Any) -> None:
    refused = await refusal(stub.Run(request("cat", stdin=pb.Content(data=bytes(73 * MIB)))))
    assert refused.code is Code.RESOURCE_EXHAUSTED
    assert (await stub.Run(request("true"))).outcome.exited.exit_code == 0


async def test_bytes_that_are_a_message_of_another_type_start_nothing(post: Post) -> None:
    other = pb.GetHostResponse(version="1", kernel_release="2").SerializeToString()
    async with grpc.aio.insecure_channel(post.unix) as channel:
        refused = await refusal(channel.unary_unary(RUN)(other))
    assert refused.code is Code.INVALID_ARGUMENT


# --- FAILED_PRECONDITION --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason", "subject"),
    [
        ({"policy": "no-such"}, "POLICY_UNKNOWN", "no-such"),
        ({"root": "no-such"}, "ROOT_UNKNOWN", "no-such"),
        ({"require": ["time-travel"]}, "ENFORCEMENT_UNAVAILABLE", "time-travel"),
    ],
)
async def test_run_failed_precondition_names_what_is_not_here(
    stub: Any, fields: dict[str, Any], reason: str, subject: str
) -> None:
    refused = await refusal(stub.Run(request("true", **fields)))
    assert refused.code is Code.FAILED_PRECONDITION
    assert refused.info.reason == reason
    assert subject in refused.info.metadata["subject"]
    assert refused.info.metadata["remedy"]
    (violation,) = refused.detail(PreconditionFailure).violations
    assert violation.type == reason
    assert subject in violation.subject
    assert violation.description


async def test_what_can_never_run_does_not_wait_for_its_turn(one_slot: Post) -> None:
    async with stub_of(one_slot.unix) as stub:
        busy = await sleeper(stub)
        for fields in ({"policy": "no-such"}, {"limits": pb.Limits(memory_bytes=-1)}):
            refused = await refusal(stub.Run(request("true", **fields), timeout=PATIENCE))
            assert refused.code in {Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT}
        await busy.end()


async def test_what_this_host_enforces_may_be_required(stub: Any) -> None:
    described = await stub.GetHost(pb.GetHostRequest())
    answer = await stub.Run(request("true", require=described.features))
    assert answer.outcome.exited.exit_code == 0


# --- RESOURCE_EXHAUSTED ---------------------------------------------------------------------------


async def test_run_resource_exhausted_says_when_to_try_again(tmp_path: Path) -> None:
    async with posted(tmp_path, slot_count=1, queue_length=1) as post, stub_of(post.unix) as stub:
        busy = await sleeper(stub)
        waiting = stub.Run(request("echo", "waited"))
        await eventually(lambda: post.server.admission.waiting_count == 1)
        refused = await refusal(stub.Run(request("true")))
        assert refused.code is Code.RESOURCE_EXHAUSTED
        assert refused.info.reason == "QUEUE_FULL"
        assert refused.detail(RetryInfo).retry_delay.ToMilliseconds() >= 100
        await busy.end()
        answer = await waiting
        assert answer.stdout.data == b"waited\n"
        assert answer.outcome.usage.queue_time.ToMicroseconds() > 0


# --- UNAVAILABLE ----------------------------------------------------------------------------------


async def test_run_unavailable_while_draining(post: Post) -> None:
    async with stub_of(post.unix) as stub:
        running = await sleeper(stub)
        leaving = asyncio.create_task(post.server.drain())
        await asyncio.sleep(0)  # its first step is to refuse
        refused = await refusal(stub.Run(request("true")))
        assert refused.code is Code.UNAVAILABLE
        assert refused.info.reason == "DRAINING"
        assert refused.info.metadata["remedy"]
        assert (await stub.GetHost(pb.GetHostRequest())).version
        assert running.lives()
        await running.end()
        await asyncio.wait_for(leaving, PATIENCE)


# --- INTERNAL -------------------------------------------------------------------------------------


@pytest.mark.parametrize("generations", [1, 2])
async def test_run_internal_names_the_stage_and_the_next_job_is_fine(
    tmp_path: Path, generations: int
) -> None:
    """What is killed is the sandbox's init, then the zygote above it."""
    with daemon(tmp_path) as served:
        async with stub_of(served.unix) as stub:
            running = await sleeper(stub)
            (victim,) = sleepers(running.seconds)
            for _ in range(generations):
                victim = parent_of(victim)
            os.kill(victim, signal.SIGKILL)
            refused = await refusal(running.call)
            assert refused.code is Code.INTERNAL
            assert refused.info.reason == "SANDBOX_LOST"
            assert refused.info.metadata["stage"]
            assert refused.info.metadata["detail"]
            assert "errno" in refused.info.metadata
            await eventually(lambda: not running.lives(), AT_ONCE)
            assert (await stub.Run(request("true"))).outcome.exited.exit_code == 0


async def test_get_host_internal_says_nothing_of_the_cause(post: Post) -> None:
    host = post.supervisor.host
    post.supervisor.host = "secret"  # type: ignore[assignment]  # damaged, as by a defect
    async with stub_of(post.unix) as stub:
        refused = await refusal(stub.GetHost(pb.GetHostRequest()))
        assert refused.code is Code.INTERNAL
        assert refused.info.reason == "UNEXPECTED"
        assert "secret" not in str(refused)
        assert "Traceback" not in str(refused)
        post.supervisor.host = host
        assert (await stub.GetHost(pb.GetHostRequest())).version == host.version


# --- the caller leaves ----------------------------------------------------------------------------


async def test_run_cancelled_kills_the_job_and_frees_its_slot(one_slot: Post) -> None:
    async with stub_of(one_slot.unix) as stub:
        running = await sleeper(stub)
        running.call.cancel()
        await eventually(lambda: not running.lives(), AT_ONCE)
        assert (await stub.Run(request("true"), timeout=PATIENCE)).outcome.exited.exit_code == 0
        assert running.call.cancelled()
        assert await running.call.code() is Code.CANCELLED
    await eventually(lambda: one_slot.server.admission.held_count == 0, AT_ONCE)


async def test_run_deadline_exceeded_kills_the_job_and_frees_its_slot(one_slot: Post) -> None:
    async with stub_of(one_slot.unix) as stub:
        running = await sleeper(stub, timeout=2)
        assert (await refusal(running.call)).code is Code.DEADLINE_EXCEEDED
        await eventually(lambda: not running.lives(), AT_ONCE)
        assert (await stub.Run(request("true"), timeout=PATIENCE)).outcome.exited.exit_code == 0


async def test_a_dropped_connection_kills_the_job(one_slot: Post) -> None:
    async with stub_of(one_slot.unix) as stub:
        running = await sleeper(stub)
    await eventually(lambda: not running.lives(), AT_ONCE)
    await eventually(lambda: one_slot.server.admission.held_count == 0, AT_ONCE)


async def test_a_caller_that_leaves_the_queue_is_never_run(one_slot: Post) -> None:
    admission = one_slot.server.admission
    async with stub_of(one_slot.unix) as stub:
        busy = await sleeper(stub)
        seconds = marker()
        late = stub.Run(sleep_request(seconds), timeout=0.2)
        assert (await refusal(late)).code is Code.DEADLINE_EXCEEDED
        await eventually(lambda: admission.waiting_count == 0, AT_ONCE)
        await busy.end()
        assert (await stub.Run(request("true"))).outcome.exited.exit_code == 0
        assert not sleepers(seconds)


async def test_get_host_deadline_exceeded_harms_nobody(tmp_path: Path) -> None:
    with daemon(tmp_path) as served:
        async with stub_of(served.unix) as stub:
            assert (await stub.GetHost(pb.GetHostRequest())).version
            served.signal(signal.SIGSTOP)
            refused = await refusal(stub.GetHost(pb.GetHostRequest(), timeout=0.2))
            served.signal(signal.SIGCONT)
            assert refused.code is Code.DEADLINE_EXCEEDED
            assert (await stub.GetHost(pb.GetHostRequest())).version


async def test_get_host_cancelled_harms_nobody(stub: Any) -> None:
    call = stub.GetHost(pb.GetHostRequest())
    call.cancel()
    assert await call.code() is Code.CANCELLED
    assert (await stub.GetHost(pb.GetHostRequest())).version
