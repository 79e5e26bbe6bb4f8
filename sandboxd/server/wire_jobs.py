"""Between the messages of JobService and the values behind them, both ways; pure."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from sandboxd.errors import JobError, RequestError, Violation
from sandboxd.jobs.values import Asked, Page, Wish
from sandboxd.model.stored import (
    DEFAULT_PAGE_SIZE,
    LEAST_KEEP_TIME,
    MAX_LABEL_COUNT,
    MAX_LABEL_KEY_BYTES,
    MAX_LABEL_VALUE_BYTES,
    MAX_PAGE_SIZE,
    MAX_PRIORITY,
    MAX_REQUEST_ID_BYTES,
    MAX_SECRET_BYTES,
    MIN_PRIORITY,
    JobState,
    StoredJob,
    Webhook,
)
from sandboxd.server import wire, wire_live
from sandboxd.server.wire_faults import to_fault
from sandboxd.server.wire_values import unreadable
from sandboxd.v1 import job_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2 as runner_pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

    from sandboxd.jobs.ledger import Record
    from sandboxd.jobs.output import Piece
    from sandboxd.model.job import Job

TOKEN = re.compile(r"([0-9]{1,18})-([0-9a-f]{32})")
PRINTABLE = re.compile(r"[ -~]*")


# --- what is asked --------------------------------------------------------------------------------


def to_asked(request: pb.StartJobRequest, most_time: timedelta) -> tuple[Job, Asked]:
    """Give the job that is to be kept, and all that is asked beside.

    Raises:
        JobError: naming each field of the job that is at fault.
        RequestError: naming each other one.

    """
    job = wire.job_from(request.job)
    if job.terminal is not None:
        raise JobError(Violation("job.terminal", "must be unset: only a live job has one"))
    broken = list(_violations(request))
    keep_time = None
    if request.HasField("keep_time"):
        try:
            keep_time = wire_live.to_duration(
                request.keep_time, "keep_time", most_time, LEAST_KEEP_TIME
            )
        except RequestError as error:
            broken += error.violations
    if broken:
        raise RequestError(*broken)
    webhook = request.webhook
    return job, Asked(
        request=request.job.SerializeToString(),
        digest=_digest(request),
        request_id=request.request_id,
        priority=request.priority,
        keep_time=keep_time,
        labels=dict(request.labels),
        webhook=Webhook(webhook.url, webhook.secret) if request.HasField("webhook") else None,
    )


def to_page(request: pb.ListJobsRequest) -> Page:
    """Tell which jobs are to be listed.

    Raises:
        RequestError: one of the two is none, or a state is unknown.

    """
    broken = []
    if not 0 <= request.page_size <= MAX_PAGE_SIZE:
        broken.append(Violation("page_size", f"must be from 0 to {MAX_PAGE_SIZE}"))
    token = TOKEN.fullmatch(request.page_token)
    if token is None and request.page_token:
        broken.append(Violation("page_token", "must be the next_page_token of a page"))
    broken += [
        Violation(f"states[{index}]", "must be a JobState that this server knows")
        for index, state in enumerate(request.states[:MAX_PAGE_SIZE])
        if int(state) not in set(map(int, JobState))
    ]
    if len(request.states) > MAX_PAGE_SIZE:
        broken.append(Violation("states", f"must have at most {MAX_PAGE_SIZE} entries"))
    broken += _label_violations(request)
    if broken:
        raise RequestError(*broken)
    return Page(
        None if token is None else (int(token[1]), token[2]),
        request.page_size or DEFAULT_PAGE_SIZE,
        tuple(map(int, request.states)),
        dict(request.labels),
    )


def to_wish(request: pb.CancelJobRequest) -> Wish:
    """Tell how a job is to be ended.

    Raises:
        RequestError: the signal or the grace is none.

    """
    wanted = wire_live.to_cancelling(request.cancel)
    return Wish(wanted.signal, wanted.grace.total_seconds())


def job_of(request: bytes) -> Job:
    """Give the job of a request that was kept.

    Raises:
        JobError: this server does not accept what an earlier one has.

    """
    try:
        return wire.job_from(runner_pb.Job.FromString(request), "")
    except DecodeError:
        raise JobError(Violation("job", "is damaged on disk")) from None


def _digest(request: pb.StartJobRequest) -> str:
    """Stand for all that is asked but its secrets: nobody shall try whether he guesses one."""
    plain = pb.StartJobRequest()
    plain.CopyFrom(request)
    if plain.HasField("webhook"):
        plain.webhook.secret = ""
    for name in plain.job.secret_env:
        plain.job.secret_env[name] = ""
    for file in plain.job.files:
        if file.secret:
            file.ClearField("content")
    return hashlib.sha256(plain.SerializeToString(deterministic=True)).hexdigest()


def _violations(request: pb.StartJobRequest) -> Iterator[Violation]:
    name = request.request_id
    if len(name) > MAX_REQUEST_ID_BYTES or not PRINTABLE.fullmatch(name):
        rule = f"must be at most {MAX_REQUEST_ID_BYTES} printable ASCII characters"
        yield Violation("request_id", rule)
    if not MIN_PRIORITY <= request.priority <= MAX_PRIORITY:
        yield Violation("priority", f"must be from {MIN_PRIORITY} to {MAX_PRIORITY}")
    if len(request.webhook.secret.encode()) > MAX_SECRET_BYTES:
        yield Violation("webhook.secret", f"must be at most {MAX_SECRET_BYTES} bytes")
    yield from _label_violations(request)


def _label_violations(request: pb.StartJobRequest | pb.ListJobsRequest) -> Iterator[Violation]:
    if len(request.labels) > MAX_LABEL_COUNT:
        yield Violation("labels", f"must have at most {MAX_LABEL_COUNT} entries")
        return
    for key, value in request.labels.items():
        if not 0 < len(key.encode()) <= MAX_LABEL_KEY_BYTES:
            yield Violation("labels", f"each key must have 1 to {MAX_LABEL_KEY_BYTES} bytes")
        if len(value.encode()) > MAX_LABEL_VALUE_BYTES:
            rule = f"must be at most {MAX_LABEL_VALUE_BYTES} bytes"
            yield Violation(f"labels[{key[:MAX_LABEL_KEY_BYTES]!a}]", rule)


# --- what is answered -----------------------------------------------------------------------------


def from_record(record: Record, position: int, output_bytes: int) -> pb.StoredJob:
    """Give the message that tells of a job."""
    job = pb.StoredJob(
        id=record.id,
        request_id=record.request_id,
        state=pb.JobState.Name(record.state),
        queue_position=position,
        priority=record.priority,
        labels=json.loads(record.labels),
        output_bytes=output_bytes,
    )
    for stamp, moment in (
        (job.create_time, record.create_us),
        (job.start_time, record.start_us),
        (job.end_time, record.end_us),
        (job.expire_time, record.expire_us),
    ):
        if moment is not None:
            stamp.FromMicroseconds(moment)
    if record.outcome is not None:
        job.outcome.ParseFromString(record.outcome)
    if record.fault is not None:
        reason, message, metadata = json.loads(record.fault)
        job.fault.CopyFrom(runner_pb.Fault(reason=reason, message=message, metadata=metadata))
    return job


def token_of(record: Record) -> str:
    """Name the page behind a job."""
    return f"{record.create_us}-{record.id}"


def from_piece(piece: Piece) -> pb.WatchJobResponse:
    """Give the message that carries a piece of output."""
    output = runner_pb.Output(
        stream=wire_live.STREAMS[piece.stream], offset_bytes=piece.offset, data=piece.data
    )
    output.time.FromNanoseconds(piece.time_ns)
    return pb.WatchJobResponse(output=output, position_bytes=piece.position)


# --- what a client reads --------------------------------------------------------------------------


def to_stored(message: pb.StoredJob) -> StoredJob:
    """Give the job that a message tells of.

    Raises:
        HostError: this client cannot read it (reason UNREADABLE_ANSWER).

    """
    try:
        return StoredJob(
            id=message.id,
            state=JobState(message.state),
            create_time=message.create_time.ToDatetime(UTC),
            request_id=message.request_id,
            queue_position=message.queue_position,
            priority=message.priority,
            labels=dict(message.labels),
            start_time=_moment(message, "start_time"),
            end_time=_moment(message, "end_time"),
            expire_time=_moment(message, "expire_time"),
            outcome=wire.to_outcome(message.outcome) if message.HasField("outcome") else None,
            fault=to_fault(message.fault) if message.HasField("fault") else None,
            output_bytes=message.output_bytes,
        )
    except (KeyError, ValueError, OverflowError) as error:
        raise unreadable() from error


def _moment(message: pb.StoredJob, name: str) -> datetime | None:
    if not message.HasField(name):
        return None
    stamp: Timestamp = getattr(message, name)
    moment: datetime = stamp.ToDatetime(UTC)
    return moment
