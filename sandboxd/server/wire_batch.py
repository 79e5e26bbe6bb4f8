"""Between the messages of RunBatch and the values of `sandboxd.model.batch`, both ways; pure.

A case is read as a job of its own first, so that its fields are named as they stand in the request;
then it is merged with the common job, and what does not go together is named by both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.errors import JobError, Violation
from sandboxd.model.batch import (
    MAX_CASES,
    MAX_ENTRIES,
    MAX_GROUP_BYTES,
    Answer,
    Case,
    Rule,
    SkipCause,
    Skipped,
    merged,
)
from sandboxd.model.job import Job
from sandboxd.model.outcome import Fault, RunResult
from sandboxd.server import wire
from sandboxd.server.wire_errors import in_request
from sandboxd.server.wire_faults import from_fault, to_fault
from sandboxd.server.wire_values import unreadable
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RULES = {rule: getattr(pb, f"BATCH_RULE_{rule.name}") for rule in Rule}
RULE_OF = {int(number): rule for rule, number in RULES.items()}
RULE_OF[int(pb.BATCH_RULE_UNSPECIFIED)] = Rule.ALL
CAUSES = {cause: getattr(pb, f"SKIP_CAUSE_{cause.name}") for cause in SkipCause}
CAUSE_OF = {int(number): cause for cause, number in CAUSES.items()}

NO_PROGRAM = "/"
"""Stands in the common job where each case has arguments of its own."""
FILE = re.compile(r"files\[(\d+)\]")
OWN_FIELDS = {"stdin", "argv", "env", "files", "limits"}


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it was asked for; each case is read when it is its turn."""

    common: Job
    cases: Sequence[pb.BatchCase]
    parallel_count: int
    """Zero: not said."""
    rule: Rule
    wall_time: timedelta | None
    size_bytes: int
    """Of the request."""


def to_batch(request: pb.RunBatchRequest) -> Batch:
    """Give what is asked; the cases are still to be looked at, one by one.

    Raises:
        JobError: naming every field at fault but those of cases.

    """
    _check_size(request)
    broken = list(_violations(request))
    asked = request.job
    if not asked.argv:
        if not all(case.argv for case in request.cases):
            broken.append(Violation("job.argv", "must name a program, or each case must"))
        asked = pb.Job()
        asked.CopyFrom(request.job)
        asked.argv.append(NO_PROGRAM)
    try:
        common = wire.job_from(asked)
    except JobError as error:
        raise JobError(*broken, *error.violations) from None
    if broken:
        raise JobError(*broken)
    return Batch(
        common,
        request.cases,
        request.parallel_count,
        RULE_OF[request.rule],
        request.wall_time.ToTimedelta() if request.HasField("wall_time") else None,
        request.ByteSize(),
    )


def job_of(common: Job, message: pb.BatchCase, index: int) -> Job:
    """Give the job of one case.

    Raises:
        JobError: naming every field at fault by its path in the request (`cases[3].argv[0]`).

    """
    case = to_case(common, message, index)
    try:
        return merged(common, case)
    except JobError as error:
        raise in_case(error, index, len(common.files)) from None


def to_case(common: Job, message: pb.BatchCase, index: int) -> Case:
    """Give what is different in one case; raises as `job_of`."""
    alone = pb.Job(
        argv=message.argv or (NO_PROGRAM,),
        env=message.env,
        files=message.files,
        limits=message.limits,
        working_directory=common.working_directory,
    )
    if message.HasField("stdin"):
        alone.stdin.CopyFrom(message.stdin)
    broken = []
    if len(message.group.encode()) > MAX_GROUP_BYTES:
        rule = f"must be at most {MAX_GROUP_BYTES} bytes"
        broken.append(Violation(f"cases[{index}].group", rule))
    try:
        job = wire.job_from(alone, path="")
    except JobError as error:
        raise JobError(*broken, *in_case(error, index).violations) from None
    if broken:
        raise JobError(*broken)
    return Case(
        stdin=job.stdin if message.HasField("stdin") else None,
        argv=tuple(message.argv),
        env=job.env,
        files=job.files,
        limits=job.limits,
        group=message.group,
    )


def in_case(error: JobError, index: int, common_file_count: int = 0) -> JobError:
    """Name the fields of a case's job by their paths in the request; common files come first."""

    def place(match: re.Match[str]) -> str:
        own = int(match[1]) - common_file_count
        return f"cases[{index}].files[{own}]" if own >= 0 else f"job.files[{match[1]}]"

    def path(field: str) -> str:
        if FILE.match(field):
            return FILE.sub(place, field)
        name = re.split(r"[.\[]", field, maxsplit=1)[0]
        return f"cases[{index}].{field}" if name in OWN_FIELDS else f"job.{field}"

    return JobError(*(Violation(path(v.field), FILE.sub(place, v.rule)) for v in error.violations))


def from_answer(index: int, answer: Answer) -> pb.RunBatchResponse:
    """Give the message that tells how a case went."""
    match answer:
        case RunResult():
            return pb.RunBatchResponse(index=index, response=wire.to_response(answer))
        case Fault():
            return pb.RunBatchResponse(index=index, fault=from_fault(answer))
        case Skipped(cause):
            skipped = pb.Skipped(cause=CAUSES[cause])
            return pb.RunBatchResponse(index=index, skipped=skipped)


def to_answer(message: pb.RunBatchResponse) -> tuple[int, Answer]:
    """Give which case went, and how.

    Raises:
        HostError: this client cannot read it (reason UNREADABLE_ANSWER).

    """
    match message.WhichOneof("result"):
        case "response":
            return message.index, wire.from_response(message.response)
        case "fault":
            return message.index, to_fault(message.fault)
        case "skipped" if message.skipped.cause in CAUSE_OF:
            return message.index, Skipped(CAUSE_OF[message.skipped.cause])
        case _:
            raise unreadable()


def from_batch(
    job: Job, cases: Iterable[Case], parallel_count: int, rule: Rule, wall_time: timedelta | None
) -> pb.RunBatchRequest:
    """Give the request that asks for a batch.

    Raises:
        JobError: naming every field that no message can carry, as `wire.job_message` does.

    """
    request = pb.RunBatchRequest(
        job=wire.job_message(job),
        cases=[_case_message(job, case, index) for index, case in enumerate(cases)],
        parallel_count=parallel_count,
        rule=RULES[rule],
    )
    if wall_time is not None:
        request.wall_time.FromTimedelta(wall_time)
    return request


def _case_message(common: Job, case: Case, index: int) -> pb.BatchCase:
    path = f"cases[{index}]."
    try:
        alone = wire.job_message(
            Job(
                argv=case.argv or common.argv,
                env=case.env,
                files=case.files,
                stdin=case.stdin or b"",
                limits=case.limits,
                working_directory=common.working_directory,
            )
        )
    except JobError as error:
        raise in_request(error, path) from None
    message = pb.BatchCase(env=alone.env, files=alone.files, limits=alone.limits, group=case.group)
    message.argv.extend(case.argv)
    if case.stdin is not None:
        message.stdin.CopyFrom(alone.stdin if alone.HasField("stdin") else pb.Content(data=b""))
    return message


def _check_size(request: pb.RunBatchRequest) -> None:
    """Refuse what would be too much to look at, before anything is made of it."""
    count = len(request.cases)
    if not 0 < count <= MAX_CASES:
        raise JobError(Violation("cases", f"must have from 1 to {MAX_CASES} entries"))
    job = request.job
    common = len(job.argv) + len(job.env) + len(job.secret_env) + len(job.outputs)
    entries = count * (common + _part_count(job.files))
    for case in request.cases:
        entries += len(case.argv) + len(case.env) + _part_count(case.files)
    if entries > MAX_ENTRIES:
        rule = f"must have at most {MAX_ENTRIES} arguments, variables, outputs and parts of files'"
        raise JobError(Violation("cases", f"{rule} paths in all, those of the job for each"))


def _part_count(files: Iterable[pb.InputFile]) -> int:
    """Count the parts of paths: as many places are looked at for another file."""
    return sum(file.path.count("/") + 1 for file in files)


def _violations(request: pb.RunBatchRequest) -> Iterable[Violation]:
    if request.parallel_count < 0:
        yield Violation("parallel_count", "must not be below zero")
    if request.rule not in RULE_OF:
        yield Violation("rule", "must be a BatchRule that this server knows")
    if request.HasField("wall_time"):
        try:
            is_right = request.wall_time.ToTimedelta() > timedelta()
        except (OverflowError, ValueError):  # beyond any calendar
            is_right = False
        if not is_right:
            yield Violation("wall_time", "must be a Duration above zero")
