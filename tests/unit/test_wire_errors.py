"""Errors on the wire: one status per class, details always, the same error at the other end."""

from __future__ import annotations

import errno
from datetime import timedelta

import pytest
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import (
    BlobDamaged,
    Busy,
    ForbiddenError,
    HostError,
    JobError,
    PreconditionError,
    RequestError,
    SandboxdError,
    StageError,
    UnauthenticatedError,
    Violation,
)
from sandboxd.server import wire

MAX_METADATA_BYTES = 8192
"""What gRPC peers accept by default of all trailing metadata together."""

JOB_ERROR = JobError(Violation("argv[0]", "must not be empty"), Violation("limits.cpu_time", "no"))
PRECONDITION = PreconditionError("POLICY_UNKNOWN", "strict", "cannot use policy strict", "add it")
BUSY = Busy("cannot queue another job", timedelta(seconds=1.5))
RATE = Busy("cannot take more calls", timedelta(seconds=2))
RATE.reason = "RATE_EXCEEDED"
UNKNOWN_CALLER = UnauthenticatedError("NO_CREDENTIALS", "cannot tell who calls", "send a token")
FORBIDDEN = ForbiddenError("ROLE_MISSING", "cannot call this", "ask for it")
HOST_ERROR = HostError("NO_USER_NAMESPACES", "cannot make a user namespace", "sysctl ...")
STAGE_ERROR = StageError("mount_proc", errno.EPERM, "mount /proc")

REQUEST_ERROR = RequestError(Violation("digest.sha256", "no"))
DAMAGED = BlobDamaged("BLOB_DAMAGED", "cannot give blob", "upload it again")

ROWS = [
    (JOB_ERROR, code_pb2.INVALID_ARGUMENT, "INVALID_JOB", {}),
    (
        PRECONDITION,
        code_pb2.FAILED_PRECONDITION,
        "POLICY_UNKNOWN",
        {"subject": "strict", "remedy": "add it"},
    ),
    (BUSY, code_pb2.RESOURCE_EXHAUSTED, "QUEUE_FULL", {}),
    (HOST_ERROR, code_pb2.UNAVAILABLE, "NO_USER_NAMESPACES", {"remedy": "sysctl ..."}),
    (
        STAGE_ERROR,
        code_pb2.INTERNAL,
        "STAGE_FAILED",
        {"stage": "mount_proc", "errno": "EPERM", "detail": "mount /proc"},
    ),
    (REQUEST_ERROR, code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST", {}),
    (DAMAGED, code_pb2.DATA_LOSS, "BLOB_DAMAGED", {"remedy": "upload it again"}),
    (RATE, code_pb2.RESOURCE_EXHAUSTED, "RATE_EXCEEDED", {}),
    (UNKNOWN_CALLER, code_pb2.UNAUTHENTICATED, "NO_CREDENTIALS", {"remedy": "send a token"}),
    (FORBIDDEN, code_pb2.PERMISSION_DENIED, "ROLE_MISSING", {"remedy": "ask for it"}),
    (SandboxdError("cannot"), code_pb2.INTERNAL, "UNKNOWN", {}),
]


def detail(status: Status, kind: type) -> object:
    (packed,) = (packed for packed in status.details if packed.Is(kind.DESCRIPTOR))
    unpacked = kind()
    packed.Unpack(unpacked)
    return unpacked


@pytest.mark.parametrize(("error", "code", "reason", "metadata"), ROWS)
def test_each_class_has_its_status_and_always_one_error_info(
    error: SandboxdError, code: int, reason: str, metadata: dict[str, str]
) -> None:
    status = wire.status_of(error)
    assert (status.code, status.message) == (code, str(error))
    assert detail(status, ErrorInfo) == ErrorInfo(
        reason=reason, domain="sandboxd", metadata=metadata
    )


@pytest.mark.parametrize("error", [row[0] for row in ROWS])
def test_an_error_is_the_same_at_the_other_end(error: SandboxdError) -> None:
    received = wire.error_from(Status.FromString(wire.status_of(error).SerializeToString()))
    assert type(received) is type(error)
    assert str(received) == str(error)
    assert received.reason == error.reason
    assert {"reason": error.reason, **vars(error)} == {"reason": error.reason, **vars(received)}


def test_a_job_error_names_its_fields_in_the_request_and_again_in_the_job() -> None:
    status = wire.status_of(wire.in_request(JOB_ERROR))
    request = detail(status, BadRequest)
    assert isinstance(request, BadRequest)
    assert [(v.field, v.description) for v in request.field_violations] == [
        ("job.argv[0]", "must not be empty"),
        ("job.limits.cpu_time", "no"),
    ]
    received = wire.error_from(status)
    assert isinstance(received, JobError)
    assert received.violations == JOB_ERROR.violations


def test_a_precondition_error_has_its_violation() -> None:
    failure = detail(wire.status_of(PRECONDITION), PreconditionFailure)
    expected = PreconditionFailure()
    expected.violations.add(
        type="POLICY_UNKNOWN", subject="strict", description="cannot use policy strict"
    )
    assert failure == expected


def test_busy_says_when_to_retry() -> None:
    retry = detail(wire.status_of(BUSY), RetryInfo)
    assert isinstance(retry, RetryInfo)
    assert retry.retry_delay.ToTimedelta() == timedelta(seconds=1.5)


@pytest.mark.parametrize("number", [0, *errno.errorcode])
def test_every_errno_survives(number: int) -> None:
    received = wire.error_from(wire.status_of(StageError("exec", number, "")))
    assert isinstance(received, StageError)
    assert received.errno == number


long_texts = st.text(st.characters() | st.just("\udcff") | st.just("😀"), max_size=4000)


@given(st.lists(st.builds(Violation, long_texts, long_texts), max_size=40), long_texts, long_texts)
def test_a_status_always_fits_the_trailing_metadata(
    violations: list[Violation], one: str, other: str
) -> None:
    for error in (
        JobError(*violations),
        PreconditionError("REASON", one, other, one),
        HostError("REASON", one, other),
        StageError(one, errno.EPERM, other),
    ):
        status = wire.status_of(error)
        base64_bytes = len(status.SerializeToString()) * 4 // 3
        percent_bytes = len(status.message.encode()) * 3
        assert base64_bytes + percent_bytes < MAX_METADATA_BYTES


def test_violations_beyond_the_room_are_counted() -> None:
    violations = tuple(Violation(f"argv[{index}]", "x" * 100) for index in range(1000))
    received = wire.error_from(wire.status_of(JobError(*violations)))
    assert isinstance(received, JobError)
    *named, last = received.violations
    assert tuple(named) == violations[: len(named)]
    assert last == Violation("job", f"has {1000 - len(named)} more violations")


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (code_pb2.INVALID_ARGUMENT, JobError, "INVALID_JOB"),
        (code_pb2.RESOURCE_EXHAUSTED, JobError, "INVALID_JOB"),
        (code_pb2.UNAVAILABLE, HostError, "UNAVAILABLE"),
        (code_pb2.UNIMPLEMENTED, HostError, "UNIMPLEMENTED"),
        (code_pb2.PERMISSION_DENIED, ForbiddenError, "PERMISSION_DENIED"),
        (code_pb2.UNAUTHENTICATED, UnauthenticatedError, "UNAUTHENTICATED"),
        (code_pb2.CANCELLED, HostError, "CANCELLED"),
        (code_pb2.INTERNAL, SandboxdError, "INTERNAL"),
        (99, HostError, "UNKNOWN"),
    ],
)
def test_a_status_of_grpc_itself_becomes_an_error_too(code: int, kind: type, reason: str) -> None:
    received = wire.error_from(Status(code=code, message="as gRPC says"))
    assert type(received) is kind
    assert received.reason == reason
    assert "as gRPC says" in str(received)
