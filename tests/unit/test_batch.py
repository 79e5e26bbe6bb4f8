"""Batches, without a kernel: a case and the common job, the rules, messages, what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import Busy, HostError, JobError, PreconditionError, StageError
from sandboxd.model.batch import (
    MAX_CASES,
    MAX_ENTRIES,
    Answer,
    Case,
    Course,
    Rule,
    SkipCause,
    Skipped,
    has_failed,
    merged,
)
from sandboxd.model.blob import Digest
from sandboxd.model.job import InputFile, Job
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited, Fault, LimitExceeded, Outcome, RunResult, Usage
from sandboxd.server import batching, wire_batch
from sandboxd.server.wire_faults import fault_of
from sandboxd.v1 import runner_service_pb2 as pb

COMMON = Job(
    argv=("prog", "-v"),
    env={"A": "1", "B": "2"},
    secret_env={"KEY": "secret"},
    stdin=b"common",
    files=(InputFile("data", b"x"), InputFile("tool", Digest("a" * 64), executable=True)),
    limits=Limits(cpu_time=timedelta(seconds=1), memory_bytes=1 << 20, stop_on_output=True),
)
RESULTS = {
    "ok": RunResult(outcome=Outcome(ending=Exited(0), usage=Usage())),
    "failed": RunResult(outcome=Outcome(ending=Exited(1), usage=Usage())),
    "limited": RunResult(outcome=Outcome(ending=LimitExceeded("cpu_time"), usage=Usage())),
    "fault": Fault("SANDBOX_LOST", "cannot", {"stage": "init"}),
    "skipped": Skipped(SkipCause.RULE),
}


def asked(*cases: dict[str, Any], **fields: Any) -> pb.RunBatchRequest:
    job = fields.pop("job", {"argv": ["prog"]})
    return pb.RunBatchRequest(job=job, cases=[pb.BatchCase(**case) for case in cases], **fields)


def jobs_of(request: pb.RunBatchRequest) -> list[Job]:
    batch = wire_batch.to_batch(request)
    return [wire_batch.job_of(batch.common, case, n) for n, case in enumerate(batch.cases)]


def refused(request: pb.RunBatchRequest) -> dict[str, str]:
    """Give what is wrong with a request, field by field."""
    with pytest.raises(JobError) as caught:
        jobs_of(request)
    return {violation.field: violation.rule for violation in caught.value.violations}


# --- a case and the common job --------------------------------------------------------------------


def test_a_case_that_says_nothing_is_the_common_job() -> None:
    assert merged(COMMON, Case()) == COMMON


def test_what_a_case_says_stands_in_place_of_the_common_or_beside_it() -> None:
    case = Case(
        stdin=b"",
        argv=("other",),
        env={"B": "3", "C": "4"},
        files=(InputFile("more", b"y"),),
        limits=Limits(cpu_time=timedelta(seconds=2)),
    )
    job = merged(COMMON, case)
    assert (job.argv, job.stdin) == (("other",), b"")
    assert job.env == {"A": "1", "B": "3", "C": "4", "KEY": "secret"}
    assert job.secret_env == {"KEY": "secret"}
    assert [file.path for file in job.files] == ["data", "tool", "more"]
    assert job.limits == Limits(
        cpu_time=timedelta(seconds=2), memory_bytes=1 << 20, stop_on_output=True
    )


def test_a_case_takes_no_secret_of_the_common_job() -> None:
    with pytest.raises(JobError, match=r"env\['KEY'\]: must not be one of the common job's"):
        merged(COMMON, Case(env={"KEY": "mine"}))


# --- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "failed"), list(zip(RESULTS.values(), (False, True, True, True, False), strict=True))
)
def test_a_case_fails_by_any_ending_but_exit_code_0_and_by_a_fault(
    answer: Answer, *, failed: bool
) -> None:
    assert has_failed(answer) is failed


@given(
    st.sampled_from(Rule),
    st.lists(
        st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from(list(RESULTS))), max_size=12
    ),
)
def test_a_rule_skips_what_it_says_and_nothing_else(
    rule: Rule, cases: list[tuple[str, str]]
) -> None:
    course = Course(rule, [group for group, _ in cases])
    failed: list[str] = []
    for index, (group, name) in enumerate(cases):
        fails = name in {"failed", "limited", "fault"}
        assert course.heed(index, RESULTS[name]) is (fails and rule is not Rule.ALL)
        failed += [group] if fails else []
        for other, (its_group, _) in enumerate(cases):
            is_over = {
                Rule.ALL: False,
                Rule.STOP: bool(failed),
                Rule.STOP_GROUP: its_group in failed,
            }[rule]
            assert course.cause(other) is (SkipCause.RULE if is_over else None)


def test_the_first_cause_to_stop_all_is_the_one_that_is_told() -> None:
    course = Course(Rule.STOP, ["", ""])
    course.stop(SkipCause.WALL_TIME)
    course.heed(0, RESULTS["failed"])
    assert course.cause(1) is SkipCause.WALL_TIME


# --- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", RESULTS.values(), ids=RESULTS)
def test_answers_come_through_the_wire(answer: Answer) -> None:
    message = wire_batch.from_answer(7, answer)
    assert wire_batch.to_answer(pb.RunBatchResponse.FromString(message.SerializeToString())) == (
        7,
        answer,
    )


@pytest.mark.parametrize(
    "message", [pb.RunBatchResponse(index=1), pb.RunBatchResponse(skipped=pb.Skipped(cause=99))]
)
def test_an_answer_of_a_newer_server_is_unreadable(message: pb.RunBatchResponse) -> None:
    with pytest.raises(HostError) as caught:
        wire_batch.to_answer(message)
    assert caught.value.reason == "UNREADABLE_ANSWER"


cases = st.builds(
    Case,
    stdin=st.none() | st.binary(max_size=9) | st.just(Digest("b" * 64, 5)),
    argv=st.sampled_from([(), ("other",), ("a", "", "é")]),
    env=st.dictionaries(st.sampled_from("ABC"), st.text("xyz=", max_size=3)),
    files=st.sampled_from([(), (InputFile("more", b"y", secret=True),)]),
    limits=st.sampled_from([Limits(), Limits(cpu_time=timedelta(seconds=2), output_bytes=0)]),
    group=st.sampled_from(["", "a"]),
)


@given(
    st.lists(cases, min_size=1, max_size=4),
    st.sampled_from(Rule),
    st.integers(0, 9),
    st.none() | st.just(timedelta(seconds=3)),
)
def test_a_batch_comes_through_the_wire(
    some: list[Case], rule: Rule, parallel_count: int, wall_time: timedelta | None
) -> None:
    request = wire_batch.from_batch(COMMON, some, parallel_count, rule, wall_time)
    batch = wire_batch.to_batch(pb.RunBatchRequest.FromString(request.SerializeToString()))
    assert (batch.common, batch.parallel_count) == (COMMON, parallel_count)
    assert (batch.rule, batch.wall_time) == (rule, wall_time)
    for index, case in enumerate(some):
        message = batch.cases[index]
        assert wire_batch.to_case(COMMON, message, index) == case
        assert wire_batch.job_of(batch.common, message, index) == merged(COMMON, case)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (
            PreconditionError("BLOB_UNKNOWN", "sha256:0", "cannot find it", "put it"),
            Fault(
                "BLOB_UNKNOWN",
                "cannot find it; put it",
                {"subject": "sha256:0", "remedy": "put it"},
            ),
        ),
        (
            StageError("daemon", 12, "what"),
            Fault(
                "STAGE_FAILED",
                str(StageError("daemon", 12, "what")),
                {"stage": "daemon", "errno": "ENOMEM", "detail": "what"},
            ),
        ),
    ],
)
def test_a_fault_says_what_the_error_would(error: Any, fault: Fault) -> None:
    assert fault_of(error) == fault


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (asked(), {"cases"}),
        (asked(*[{}] * (MAX_CASES + 1)), {"cases"}),
        (
            asked({}, parallel_count=-1, rule=99, wall_time={"seconds": 0}, job={"argv": [""]}),
            {"parallel_count", "rule", "wall_time", "job.argv[0]"},
        ),
        (asked({}, wall_time={"seconds": -1}), {"wall_time"}),
        (asked({}, wall_time={"seconds": 1 << 62}), {"wall_time"}),
        (asked({"argv": ["a"]}, {}, job={}), {"job.argv"}),
        (asked({"group": "é" * 33, "argv": [""]}), {"cases[0].group", "cases[0].argv[0]"}),
        (asked({}, {"limits": {"cpu_time": {"seconds": -1}}}), {"cases[1].limits.cpu_time"}),
        (asked({"stdin": {}}), {"cases[0].stdin"}),
        (asked({"stdin": {"blob": {"sha256": "no"}}}), {"cases[0].stdin.blob.sha256"}),
        (asked({"files": [{"path": "/etc/x"}]}), {"cases[0].files[0].path"}),
        (asked({"env": {"": "x"}}), {"cases[0].env['']"}),
        (
            asked({"env": {"K": "x"}}, job={"argv": ["a"], "secret_env": {"K": "y"}}),
            {"cases[0].env['K']"},
        ),
    ],
)
def test_what_makes_no_sense_is_named_by_its_path(
    request_: pb.RunBatchRequest, fields: set[str]
) -> None:
    assert refused(request_).keys() == fields


def test_files_that_do_not_go_together_are_named_by_both_paths() -> None:
    job = {"argv": ["a"], "files": [{"path": "x"}, {"path": "d/y"}], "working_directory": "/tmp/w"}
    assert refused(asked({"files": [{"path": "z"}, {"path": "x"}]}, job=job)) == {
        "cases[0].files[1].path": "is the same place as job.files[0].path"
    }
    assert refused(asked({"files": [{"path": "d"}]}, job=job)) == {
        "job.files[1].path": "lies below cases[0].files[0].path, which is a file"
    }
    assert refused(asked({"files": [{"path": "/tmp/w"}]}, job=job)) == {
        "job.working_directory": "is, or lies below, cases[0].files[0].path"
    }


def test_few_bytes_cannot_multiply_to_endless_work() -> None:
    job = {"argv": ["x"] * (MAX_ENTRIES // 64)}
    assert not wire_batch.to_batch(asked(*[{}] * 64, job=job)).parallel_count
    assert refused(asked(*[{}] * 64, {"argv": ["y"]}, job=job)).keys() == {"cases"}
    deep = {"argv": ["x"], "files": [{"path": f"{n}{'/d' * 1500}"} for n in range(100)]}
    assert jobs_of(asked({}, job=deep))
    assert refused(asked(*[{}] * 8, job=deep)).keys() == {"cases"}


def test_each_case_may_name_its_own_program() -> None:
    request = asked({"argv": ["a"]}, {"argv": ["b", "c"]}, job={"env": {"A": "1"}})
    assert [job.argv for job in jobs_of(request)] == [("a",), ("b", "c")]
    assert not request.job.argv


def test_batches_are_few_and_of_one_caller_half_of_them() -> None:
    batches, small = batching.Batches(), 1
    half = [batches.counted("a", small) for _ in range(batching.MAX_BATCHES // 2)]
    for one in half:
        one.__enter__()
    with pytest.raises(Busy) as caught, batches.counted("a", small):
        pass
    assert caught.value.reason == "SHARE_EXHAUSTED"
    with (
        batches.counted("b", batching.MAX_BYTES // 2),
        batches.counted("d", batching.MAX_BYTES // 2 - len(half)),
    ):
        with pytest.raises(Busy) as caught, batches.counted("c", small):
            pass
        assert caught.value.reason == "QUEUE_FULL"
    half[0].__exit__(None, None, None)
    with batches.counted("a", small):
        pass
