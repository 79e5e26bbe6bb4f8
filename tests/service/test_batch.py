"""RunBatch: one job over many cases, each in its turn, each with exactly one answer."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
from contextlib import aclosing
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from guards import row, token_of, written
from post import (
    AT_ONCE,
    PATIENCE,
    eventually,
    marker,
    parent_of,
    posted,
    refusal,
    sleepers,
    stub_of,
)
from stored import in_use

from sandboxd.client import Client, SyncClient
from sandboxd.errors import Busy, HostError, JobError, PreconditionError, StreamIdle
from sandboxd.model.batch import Answer, Case, Rule, SkipCause, Skipped
from sandboxd.model.blob import Digest
from sandboxd.model.job import InputFile, Job, OutputPath
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, Fault, LimitExceeded, RunResult
from sandboxd.server import batching
from sandboxd.store.blobs import BlobStore
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from conftest import StartServer
    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")

Code = grpc.StatusCode
UNKNOWN = Digest("0" * 64)
LONG = Limits(wall_time=timedelta(minutes=5))
BY_RULE, BY_TIME = Skipped(SkipCause.RULE), Skipped(SkipCause.WALL_TIME)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    store = BlobStore(tmp_path / "blobs", max_bytes=64 * MIB)
    yield store
    store.close()


@pytest.fixture
async def client(post: Post) -> AsyncIterator[Client]:
    async with Client(post.unix) as client:
        yield client


@pytest.fixture
async def two_slots(tmp_path: Path) -> AsyncIterator[Post]:
    async with posted(tmp_path, slot_count=2) as post:
        yield post


async def all_of(client: Client, job: Any, cases: list[Case], **how: Any) -> list[Answer]:
    """Run a batch to its end; give the answers in the order of the cases, one for each."""
    found = [one async for one in client.run_batch(job, cases, **how)]
    assert sorted(index for index, _ in found) == list(range(len(cases)))
    return [answer for _, answer in sorted(found, key=lambda one: one[0])]


def output(answer: Answer) -> bytes:
    assert isinstance(answer, RunResult)
    return answer.stdout.data


def shell(script: str) -> Case:
    return Case(argv=("sh", "-c", script))


# --- cases ----------------------------------------------------------------------------------------


async def test_each_case_is_the_common_job_with_its_own_part(client: Client) -> None:
    job = Job(
        argv=("sh", "-c", "cat - common own 2>/dev/null; echo $A $B"),
        env={"A": "a", "B": "b"},
        stdin=b"of all ",
        files=(InputFile("common", b"common "),),
        limits=Limits(output_bytes=1000),
    )
    cases = [
        Case(),
        Case(stdin=b"mine "),
        Case(stdin=b""),
        Case(env={"B": "c"}, files=(InputFile("own", b"own "),)),
        Case(limits=Limits(output_bytes=3)),
        Case(argv=("sh", "-c", "exit 3")),
    ]
    answers = await all_of(client, job, cases)
    assert [output(answer) for answer in answers] == [
        b"of all common a b\n",
        b"mine common a b\n",
        b"common a b\n",
        b"of all common own a c\n",
        b"of ",
        b"",
    ]
    endings = [answer.ending for answer in answers if isinstance(answer, RunResult)]
    assert endings == [Exited(0)] * 5 + [Exited(3)]


async def test_answers_come_as_cases_end_not_in_their_order(two_slots: Post) -> None:
    seconds = marker()
    cases = [Case(argv=("sleep", seconds)), *[Case()] * 20]
    async with Client(two_slots.unix) as client:
        batch = client.run_batch(Job(argv=("true",), limits=LONG), cases)
        async with aclosing(batch) as answers:
            first = [(await anext(answers))[0] for _ in range(20)]
        assert sorted(first) == list(range(1, 21))
        await eventually(lambda: not sleepers(seconds))


async def test_the_synchronous_client_is_the_same(client: Client, post: Post) -> None:
    cases = [Case(stdin=b"%d" % number) for number in range(9)]

    def run() -> dict[int, bytes]:
        with SyncClient(post.unix) as sync:
            return {index: output(answer) for index, answer in sync.run_batch(["cat"], cases)}

    assert await asyncio.to_thread(run) == {number: b"%d" % number for number in range(9)}
    assert [output(one) for one in await all_of(client, ["cat"], cases)] == [
        b"%d" % number for number in range(9)
    ]


async def test_no_more_cases_run_at_once_than_asked_for(two_slots: Post) -> None:
    script = "date +%s%N; sleep 0.05; date +%s%N"
    async with Client(two_slots.unix) as client:
        for parallel_count, overlaps in ((1, False), (0, True), (9, True)):
            answers = await all_of(
                client, ["sh", "-c", script], [Case()] * 6, parallel_count=parallel_count
            )
            times = sorted(tuple(map(int, output(answer).split())) for answer in answers)
            ends = [end > begin for (_, end), (begin, _) in pairwise(times)]
            assert any(ends) is overlaps
            three = zip(times, times[2:], strict=False)
            assert not any(end > begin for (_, end), (begin, _) in three)


async def test_a_batch_leaves_others_their_turn(tmp_path: Path) -> None:
    callers = written(tmp_path / "callers.toml", row("a"), row("b"))
    async with (
        posted(tmp_path, callers, slot_count=2) as post,
        Client(post.tcp, token=token_of("a")) as a,
        Client(post.tcp, token=token_of("b")) as b,
    ):
        answers: list[int] = []

        async def take() -> None:
            async for index, _ in a.run_batch(["true"], [Case()] * 200):
                answers.append(index)

        batch = asyncio.create_task(take())
        await eventually(lambda: len(answers) >= 10)
        assert (await b.run(["true"])).ending == Exited(0)
        assert len(answers) < 100
        await batch
        assert len(answers) == 200


# --- when the rest is not run ---------------------------------------------------------------------


async def test_a_batch_stops_at_the_first_failure_and_kills_what_runs(two_slots: Post) -> None:
    seconds = marker()
    cases = [Case(argv=("sleep", seconds)), Case(), shell("exit 1"), *[Case()] * 5]
    async with Client(two_slots.unix) as client:
        job = Job(argv=("true",), limits=LONG)
        answers = await all_of(client, job, cases, rule=Rule.STOP)
    assert answers[0] == BY_RULE
    assert not sleepers(seconds)
    assert [isinstance(one, RunResult) for one in answers[1:3]] == [True, True]
    assert answers[3:] == [BY_RULE] * 5


async def test_a_failure_stops_its_group_alone(one_slot: Post) -> None:
    cases = [
        Case(group="a"),
        Case(group="b", argv=("false",)),
        Case(group="a"),
        Case(group="b"),
        Case(group="a", argv=("no-such-program",)),
        Case(),
        Case(group="a"),
    ]
    async with Client(one_slot.unix) as client:
        answers = await all_of(client, ["true"], cases, rule=Rule.STOP_GROUP)
    skipped = [index for index, answer in enumerate(answers) if answer == BY_RULE]
    assert skipped == [3, 6]


async def test_the_wall_time_of_a_batch_ends_all_of_it(two_slots: Post) -> None:
    seconds = marker()
    cases = [Case(argv=("true",)), *[Case()] * 10]
    async with Client(two_slots.unix) as client:
        job = Job(argv=("sleep", seconds), limits=LONG)
        answers = await all_of(client, job, cases, wall_time=timedelta(seconds=1))
    assert isinstance(answers[0], RunResult)
    assert answers[1:] == [BY_TIME] * 10
    assert not sleepers(seconds)
    assert not two_slots.server.admission.held_count


@pytest.mark.parametrize("leaves", ["cancel", "deadline"])
async def test_run_batch_cancelled_and_deadline_exceeded_free_all_slots(
    two_slots: Post, leaves: str
) -> None:
    seconds = marker()
    request = pb.RunBatchRequest(job=pb.Job(argv=["sleep", seconds]), cases=[pb.BatchCase()] * 50)
    request.job.limits.wall_time.FromSeconds(600)
    async with stub_of(two_slots.unix) as stub:
        call = stub.RunBatch(request, timeout=1 if leaves == "deadline" else None)
        await eventually(lambda: len(sleepers(seconds)) == 2)
        if leaves == "cancel":
            call.cancel()
        code = await call.code()
    assert code is (Code.CANCELLED if leaves == "cancel" else Code.DEADLINE_EXCEEDED)
    await eventually(lambda: not sleepers(seconds), AT_ONCE)
    admission = two_slots.server.admission
    await eventually(lambda: not admission.held_count and not admission.waiting_count, AT_ONCE)


async def test_a_batch_ends_with_its_server(two_slots: Post) -> None:
    seconds = marker()
    async with Client(two_slots.unix) as client:
        job = Job(argv=("sleep", seconds), limits=LONG)
        batch = asyncio.create_task(all_of(client, job, [Case()] * 9))
        await eventually(lambda: sleepers(seconds))
        two_slots.server.leave()
        two_slots.server.leave()
        await two_slots.server.drain()
        with pytest.raises(HostError) as caught:
            await batch
    assert caught.value.reason == "DRAINING"
    assert not sleepers(seconds)


async def test_a_server_that_leaves_ends_what_runs_and_begins_nothing_more(
    two_slots: Post,
) -> None:
    async with Client(two_slots.unix) as client:
        script = "read line; sleep 0.2; echo $line"
        cases = [Case(stdin=b"%d\n" % number) for number in range(200)]
        batch = client.run_batch(["sh", "-c", script], cases)
        found = dict([await anext(batch)])
        draining = asyncio.create_task(two_slots.server.drain())
        found |= {index: answer async for index, answer in batch}
        await draining
    assert found.keys() == set(range(200))
    ran = [index for index, answer in found.items() if isinstance(answer, RunResult)]
    assert all(output(found[index]) == b"%d\n" % index for index in ran)
    faults = [answer for answer in found.values() if isinstance(answer, Fault)]
    assert 2 < len(ran) + 1 < 10
    assert {fault.reason for fault in faults} == {"DRAINING"}


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_ends_when_each_case_has_one_answer(two_slots: Post, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    scripts = ["exit 0"] * 9 + ["exit 1", "sleep 0.02", "sleep 30"]
    cases = [
        Case(argv=("sh", "-c", chance.choice(scripts)), group=chance.choice("abc"))
        for _ in range(40)
    ]
    async with Client(two_slots.unix) as client:
        answers = await all_of(
            client,
            ["true"],
            cases,
            rule=chance.choice(list(Rule)),
            wall_time=timedelta(seconds=chance.uniform(0.05, 0.4)),
        )
    assert all(isinstance(answer, RunResult | Skipped) for answer in answers)
    assert not two_slots.server.admission.held_count


# --- faults ---------------------------------------------------------------------------------------


async def test_a_case_whose_sandbox_is_lost_does_not_fail_the_others(two_slots: Post) -> None:
    seconds = marker()
    cases = [Case(argv=("sleep", seconds)), *[Case()] * 10]
    async with Client(two_slots.unix) as client:
        job = Job(argv=("true",), limits=LONG)
        batch = asyncio.create_task(all_of(client, job, cases))
        await eventually(lambda: sleepers(seconds))
        os.kill(parent_of(sleepers(seconds)[0]), signal.SIGKILL)
        lost, *others = await batch
    assert isinstance(lost, Fault)
    assert (lost.reason, "stage" in lost.metadata) == ("SANDBOX_LOST", True)
    assert [one.ending for one in others if isinstance(one, RunResult)] == [Exited(0)] * 10


async def test_a_blob_that_one_case_lacks_is_its_fault(blob_post: Post, store: BlobStore) -> None:
    async with Client(blob_post.unix) as client:
        known = await client.blobs.put(b"known")
        cases = [Case(stdin=known) for _ in range(9)]
        cases[7] = Case(stdin=known, files=(InputFile("f", UNKNOWN),))
        answers = await all_of(client, ["cat"], cases)
    fault = answers.pop(7)
    assert isinstance(fault, Fault)
    assert (fault.reason, fault.metadata["subject"]) == ("BLOB_UNKNOWN", str(UNKNOWN))
    assert [output(answer) for answer in answers] == [b"known"] * 8
    assert not in_use(store, known)


async def test_run_batch_failed_precondition_for_a_blob_that_all_lack(
    blob_post: Post, store: BlobStore
) -> None:
    async with Client(blob_post.unix) as client:
        known = await client.blobs.put(b"known")
        files = (InputFile("f", known), InputFile("g", UNKNOWN))
        with pytest.raises(PreconditionError) as caught:
            await all_of(client, Job(argv=("cat",), files=files), [Case()] * 3)
    assert (caught.value.reason, caught.value.subject) == ("BLOB_UNKNOWN", str(UNKNOWN))
    assert not in_use(store, known)


async def test_without_a_store_blobs_are_off_for_the_batch_or_the_case(client: Client) -> None:
    with pytest.raises(PreconditionError) as caught:
        await all_of(client, Job(argv=("cat",), stdin=UNKNOWN), [Case()])
    assert caught.value.reason == "BLOBS_OFF"
    answers = await all_of(client, ["cat"], [Case(stdin=b"x"), Case(stdin=UNKNOWN)])
    assert output(answers[0]) == b"x"
    assert isinstance(answers[1], Fault)
    assert answers[1].reason == "BLOBS_OFF"


# --- blobs in common ------------------------------------------------------------------------------


async def test_what_all_have_in_common_is_held_once_for_the_whole_batch(
    tmp_path: Path, store: BlobStore
) -> None:
    async with (
        posted(tmp_path, blobs=store, slot_count=1) as post,
        Client(post.unix) as client,
    ):
        tool = await client.blobs.put(b"#!/bin/sh\ncat\n")
        short = Digest(tool.sha256)
        job = Job(argv=("./tool",), files=(InputFile("tool", short, executable=True),))
        cases = [Case(stdin=b"%d" % n) for n in range(10)] + [Case(stdin=short)]
        found = []
        async for index, answer in client.run_batch(job, cases):
            found.append((index, output(answer)))
            if index == 0:
                assert await client.blobs.delete(tool)
        assert await client.blobs.missing([tool]) == [tool]
    assert found == [*((n, b"%d" % n) for n in range(10)), (10, b"#!/bin/sh\ncat\n")]


async def test_blobs_in_common_and_of_a_case_may_be_more_than_a_message_carries(
    blob_post: Post,
) -> None:
    async with Client(blob_post.unix) as client:
        blobs = [await client.blobs.put(b"%02d " % n * (n + 1)) for n in range(60)]
        files = [InputFile(f"{n:02}", blob) for n, blob in enumerate(blobs)]
        job = Job(argv=("sh", "-c", "cat *"), files=tuple(files[:30]))
        wrong = Digest(blobs[0].sha256, 99)
        cases = [Case(), Case(files=tuple(files[30:])), Case(stdin=wrong)]
        answers = await all_of(client, job, cases)
    assert output(answers[0]) == b"".join(b"%02d " % n * (n + 1) for n in range(30))
    assert output(answers[1]) == b"".join(b"%02d " % n * (n + 1) for n in range(60))
    assert isinstance(answers[2], Fault)
    assert answers[2].reason == "BLOB_UNKNOWN"


async def test_each_case_may_store_its_files(blob_post: Post) -> None:
    outputs = (OutputPath("out", store=True),)
    job = Job(argv=("sh", "-c", "cat > out"), outputs=outputs)
    async with Client(blob_post.unix) as client:
        answers = await all_of(client, job, [Case(stdin=b"a"), Case(stdin=b"b")])
        for answer, content in zip(answers, (b"a", b"b"), strict=True):
            assert isinstance(answer, RunResult)
            (file,) = answer.files
            assert file.blob is not None
            assert b"".join([piece async for piece in client.blobs.get(file.blob)]) == content


# --- what is refused ------------------------------------------------------------------------------


async def test_run_batch_invalid_argument_names_all_fields_before_any_case_runs(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    request = pb.RunBatchRequest(
        job=pb.Job(argv=["true"]),
        cases=[
            {},
            {"limits": {"cpu_time": {"seconds": 7200}}},
            {"files": [{"path": ".."}], "limits": {"memory_bytes": 1 << 50}},
            {"argv": ["a\0"]},
        ],
    )
    with caplog.at_level(logging.INFO, "sandboxd.audit"):
        async with stub_of(post.unix) as stub:
            found = await refusal(aiter(stub.RunBatch(request)).__anext__())
    assert found.code is Code.INVALID_ARGUMENT
    assert found.fields.keys() == {
        "cases[1].limits.cpu_time",
        "cases[2].files[0].path",
        "cases[3].argv[0]",
    }
    (line,) = lines_of(caplog)
    assert (line["event"], line["status"], "case" in line) == (
        "run_batch",
        "INVALID_ARGUMENT",
        False,
    )


async def test_run_batch_refuses_what_the_host_does_not_offer_to_any_case(client: Client) -> None:
    with pytest.raises(PreconditionError) as caught:
        await all_of(client, Job(argv=("true",), policy="no-such"), [Case()])
    assert caught.value.reason == "POLICY_UNKNOWN"
    with pytest.raises(JobError) as refused:
        await all_of(client, ["true"], [Case(), Case(limits=Limits(memory_bytes=1 << 50))])
    assert [v.field for v in refused.value.violations] == ["cases[1].limits.memory_bytes"]


async def test_the_client_names_a_case_that_no_message_can_carry(client: Client) -> None:
    with pytest.raises(JobError) as caught:
        await all_of(client, ["true"], [Case(), Case(argv=("\udcff",))])
    assert [v.field for v in caught.value.violations] == ["cases[1].argv[0]"]


async def test_run_batch_resource_exhausted_when_too_many_are_under_way(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MAX_BATCHES", 2)
    seconds = marker()
    job = Job(argv=("sleep", seconds), limits=LONG)
    first = asyncio.create_task(all_of(client, job, [Case()]))
    await eventually(lambda: sleepers(seconds))
    with pytest.raises(Busy) as caught:
        await all_of(client, ["true"], [Case()])
    assert caught.value.reason == "SHARE_EXHAUSTED"
    first.cancel()
    await eventually(lambda: not sleepers(seconds))
    assert len(await all_of(client, ["true"], [Case()])) == 1


# --- a caller that does not take its answers ------------------------------------------------------


async def test_answers_that_nobody_takes_hold_up_the_cases_that_follow(
    two_slots: Post, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job(argv=("head", "-c", str(MIB), "/dev/zero"))
    async with Client(two_slots.unix) as client:
        with caplog.at_level(logging.INFO, "sandboxd.audit"):
            answers = client.run_batch(job, [Case()] * 40)
            await anext(answers)
            # One more of another caller passes while the batch stands still.
            await eventually(lambda: not two_slots.server.admission.held_count)
            for _ in range(3):
                assert (await client.run(["true"])).ending == Exited(0)
            begun = sum("case" in line for line in lines_of(caplog))
            assert begun < 20
            assert len([one async for one in answers]) == 39
    assert sum("case" in line for line in lines_of(caplog)) == 40


async def test_run_batch_deadline_exceeded_when_answers_are_not_taken_in_time(
    two_slots: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "TAKING_SECONDS", 0.2)
    job = Job(argv=("head", "-c", str(4 * MIB), "/dev/zero"), limits=Limits(output_bytes=4 * MIB))
    async with Client(two_slots.unix) as client:
        answers = client.run_batch(job, [Case()] * 40)
        await anext(answers)
        await eventually(lambda: not two_slots.server._service._batches._held)  # noqa: SLF001 - nothing tells it
        with pytest.raises(StreamIdle):
            [one async for one in answers]


# --- the audit ------------------------------------------------------------------------------------


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(r.getMessage()) for r in caplog.records if r.name == "sandboxd.audit"]


async def test_each_case_leaves_a_line_and_so_does_the_call(
    one_slot: Post, caplog: pytest.LogCaptureFixture
) -> None:
    cases = [
        Case(stdin=b"a"),
        Case(files=(InputFile("pin", b"1234", secret=True),)),
        Case(files=(InputFile("pin", b"9876", secret=True),)),
        Case(stdin=UNKNOWN),
        shell("exit 3"),
        Case(stdin=b"a"),
    ]
    with caplog.at_level(logging.INFO, "sandboxd.audit"):
        async with Client(one_slot.unix) as client:
            await all_of(client, ["true"], cases[:4])
            *lines, whole = lines_of(caplog)
            caplog.clear()
            await all_of(client, ["true"], cases[4:], rule=Rule.STOP)
            failed, last = lines_of(caplog)
    assert [line["case"] for line in lines] == [0, 1, 2, 3]
    digests = [line["job_digest"] for line in (*lines, whole)]
    assert digests[1] == digests[2]
    assert len(set(digests)) == 4
    assert [(line["status"], line["reason"]) for line in lines[2:]] == [
        ("OK", None),
        ("FAILED_PRECONDITION", "BLOBS_OFF"),
    ]
    assert {line["event"] for line in (*lines, whole, failed, last)} == {"run_batch"}
    assert ("case" in whole, whole["status"], whole["ending"]) == (False, "OK", None)
    assert failed["ending"] == {"kind": "exited", "exit_code": 3}
    assert "case" not in last  # the other case never began


async def test_a_case_over_a_limit_is_an_ordinary_answer(
    start_server: StartServer,
) -> None:
    with start_server() as server:
        async with Client(server.tcp) as client:
            answers = await asyncio.wait_for(
                all_of(
                    client,
                    ["sleep", "1000"],
                    [Case(limits=Limits(wall_time=timedelta(seconds=0.2))), Case(argv=("true",))],
                ),
                PATIENCE,
            )
    endings = [answer.ending for answer in answers if isinstance(answer, RunResult)]
    assert endings == [LimitExceeded("wall_time"), Exited(0)]
