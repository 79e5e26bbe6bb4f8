"""Between the exception tree and google.rpc.Status, by the table in docs/api.md; pure."""

from __future__ import annotations

import errno
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status

from sandboxd.errors import (
    BlobDamaged,
    Busy,
    CallerError,
    ConflictError,
    ForbiddenError,
    HostError,
    JobError,
    NotFoundError,
    PreconditionError,
    RequestError,
    SandboxdError,
    StageError,
    StreamIdle,
    UnauthenticatedError,
    Violation,
)
from sandboxd.server.wire_values import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

DOMAIN = "sandboxd"

CODES: dict[type[SandboxdError], int] = {
    UnauthenticatedError: code_pb2.UNAUTHENTICATED,
    ForbiddenError: code_pb2.PERMISSION_DENIED,
    JobError: code_pb2.INVALID_ARGUMENT,
    PreconditionError: code_pb2.FAILED_PRECONDITION,
    Busy: code_pb2.RESOURCE_EXHAUSTED,
    NotFoundError: code_pb2.NOT_FOUND,
    ConflictError: code_pb2.ALREADY_EXISTS,
    StreamIdle: code_pb2.DEADLINE_EXCEEDED,
    HostError: code_pb2.UNAVAILABLE,
    BlobDamaged: code_pb2.DATA_LOSS,
    StageError: code_pb2.INTERNAL,
}
"""The gRPC status of each class; any other error is INTERNAL."""

REFUSALS: dict[int, type[CallerError | HostError]] = {
    code_pb2.UNAUTHENTICATED: UnauthenticatedError,
    code_pb2.PERMISSION_DENIED: ForbiddenError,
    code_pb2.DATA_LOSS: BlobDamaged,
}

NAMED: dict[int, type[NotFoundError | ConflictError]] = {
    code_pb2.NOT_FOUND: NotFoundError,
    code_pb2.ALREADY_EXISTS: ConflictError,
}

ERRNO_OF = {name: number for number, name in errno.errorcode.items()}

MAX_TEXT_BYTES = 512
"""Of one text in a status. gRPC peers accept 8 KiB of trailing metadata, which carry all of it."""
MAX_VIOLATIONS_BYTES = 2048
"""Of all fields and rules in one BadRequest; the rest is counted, not named."""

IN_REQUEST = "job."
"""Where a job stands in a RunRequest."""
WHOLE_JOB = "job"
"""What a violation names that no single field is to blame for."""


def in_request(error: JobError, path: str = IN_REQUEST) -> JobError:
    """Name a job's fields by their paths in a request: `job.argv[0]` for `argv[0]`."""
    return JobError(*(Violation(path + v.field, v.rule) for v in error.violations))


def status_of(error: SandboxdError) -> Status:
    """Give the status that carries an error: always with one ErrorInfo, and bounded in size."""
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), code_pb2.INTERNAL)
    status = Status(code=code, message=_cut(str(error)))
    for detail in _details(error):
        status.details.add().Pack(detail)
    return status


def error_from(status: Status) -> SandboxdError:  # noqa: PLR0911 - one return a kind
    """Give the error that a status carries, a job's fields named as in `Job` (`argv[0]`).

    An error of gRPC itself has no details: a request too large becomes a JobError, anything else a
    HostError whose reason is the code's name.
    """
    info = _detail(status, ErrorInfo) or ErrorInfo(reason=_name_of(status.code))
    if status.code == code_pb2.INVALID_ARGUMENT:
        kind = RequestError if info.reason == RequestError.reason else JobError
        return kind(*_violations_from(status))
    if status.code == code_pb2.RESOURCE_EXHAUSTED:
        retry = _detail(status, RetryInfo)
        if retry is None:
            return JobError(Violation(WHOLE_JOB, status.message))
        busy = Busy(status.message, _delay_of(retry))
        busy.reason = info.reason
        return busy
    if status.code == code_pb2.INTERNAL:
        return _fault_from(status, info)
    remedy = info.metadata.get("remedy", "")
    message = status.message.removesuffix(f"; {remedy}")
    if status.code == code_pb2.FAILED_PRECONDITION:
        return PreconditionError(info.reason, info.metadata.get("subject", ""), message, remedy)
    if status.code in NAMED:
        return NAMED[status.code](info.reason, status.message)
    if info.reason == StreamIdle.reason:
        return StreamIdle(status.message)
    return REFUSALS.get(status.code, HostError)(info.reason, message, remedy)


def _details(error: SandboxdError) -> Iterator[Message]:
    metadata = {name: _cut(value) for name, value in _metadata(error).items()}
    yield ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    if isinstance(error, JobError):
        yield _bad_request(error)
    elif isinstance(error, PreconditionError):
        message = _cut(str(error).removesuffix(f"; {error.remedy}"))
        failure = PreconditionFailure()
        failure.violations.add(type=error.reason, subject=_cut(error.subject), description=message)
        yield failure
    elif isinstance(error, Busy):
        retry = RetryInfo()
        retry.retry_delay.FromTimedelta(max(error.retry_after, timedelta()))
        yield retry


def _metadata(error: SandboxdError) -> dict[str, str]:
    if isinstance(error, PreconditionError):
        return {"subject": error.subject, "remedy": error.remedy}
    if isinstance(error, (HostError, CallerError)) and error.remedy:
        return {"remedy": error.remedy}
    if isinstance(error, StageError):
        name = errno.errorcode.get(error.errno, "")
        return {"stage": error.stage, "errno": name, "detail": error.detail}
    return {}


def _bad_request(error: JobError) -> BadRequest:
    request = BadRequest()
    room = MAX_VIOLATIONS_BYTES
    for index, violation in enumerate(error.violations):
        field, rule = _cut(violation.field), _cut(violation.rule)
        room -= len(field.encode()) + len(rule.encode())
        if room < 0:
            more = len(error.violations) - index
            request.field_violations.add(field=WHOLE_JOB, description=f"has {more} more violations")
            break
        request.field_violations.add(field=field, description=rule)
    return request


def _violations_from(status: Status) -> Iterator[Violation]:
    request = _detail(status, BadRequest)
    if request is None:
        yield Violation(WHOLE_JOB, status.message)
        return
    for violation in request.field_violations:
        yield Violation(violation.field.removeprefix(IN_REQUEST), violation.description)


def _fault_from(status: Status, info: ErrorInfo) -> SandboxdError:
    """Give the error that is our fault: a stage's, or an unexpected one."""
    if "stage" in info.metadata:
        number = ERRNO_OF.get(info.metadata.get("errno", ""), 0)
        return StageError(info.metadata["stage"], number, info.metadata.get("detail", ""))
    error = SandboxdError(status.message)
    error.reason = info.reason
    return error


def _delay_of(retry: RetryInfo) -> timedelta:
    try:
        delay: timedelta = retry.retry_delay.ToTimedelta()
    except (OverflowError, ValueError):  # no time that anybody could wait
        delay = timedelta()
    return delay


AnyDetail = TypeVar("AnyDetail", bound="Message")


def _detail(status: Status, kind: type[AnyDetail]) -> AnyDetail | None:
    detail = kind()
    try:
        return detail if any(packed.Unpack(detail) for packed in status.details) else None
    except DecodeError:  # one that cannot be read says nothing
        return None


def _name_of(code: int) -> str:
    return code_pb2.Code.Name(code) if code in code_pb2.Code.values() else "UNKNOWN"


def _cut(text: str) -> str:
    whole = visible(text).encode()
    if len(whole) <= MAX_TEXT_BYTES:
        return whole.decode()
    return whole[: MAX_TEXT_BYTES - 3].decode("utf-8", "ignore") + "…"
