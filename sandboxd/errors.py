"""The whole exception tree: one class per answer to "whose fault is it?".

==================  =====================  =======================================
class               at fault               gRPC status
==================  =====================  =======================================
`JobError`          the caller             INVALID_ARGUMENT, one violation a field
`PreconditionError` the caller's wish      FAILED_PRECONDITION
`CallerError`       who calls              UNAUTHENTICATED, PERMISSION_DENIED
`Busy`              nobody: try later      RESOURCE_EXHAUSTED
`NotFoundError`     the caller             NOT_FOUND
`ConflictError`     the caller             ALREADY_EXISTS
`StreamIdle`        the caller             DEADLINE_EXCEEDED
`HostError`         the operator           UNAVAILABLE
`BlobDamaged`       the operator's disk    DATA_LOSS
`StageError`        us                     INTERNAL, with stage and errno
==================  =====================  =======================================

A program that fails or overruns a limit is no exception at all: it is an `Outcome`.
"""

from __future__ import annotations

import errno as errno_names
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import timedelta


class SandboxdError(Exception):
    """The root of everything that sandboxd raises."""

    reason = "UNKNOWN"


class Violation(NamedTuple):
    """One field of a request that breaks a rule: its path (``limits.cpu_time``) and the rule."""

    field: str
    rule: str


class JobError(SandboxdError):
    """The job asks for something meaningless; nothing was started."""

    reason = "INVALID_JOB"

    def __init__(self, *violations: Violation) -> None:
        """Carry every violation found, so that a caller mends them all at once."""
        super().__init__("; ".join(f"{v.field}: {v.rule}" for v in violations))
        self.violations = violations


class RequestError(JobError):
    """A request that is no job asks for something meaningless; nothing was done."""

    reason = "INVALID_REQUEST"


class PreconditionError(SandboxdError):
    """The job asks for something that this host does not offer; nothing was started."""

    def __init__(self, reason: str, subject: str, message: str, remedy: str) -> None:
        """Name the missing thing (`subject`), why, and what would mend it."""
        super().__init__(f"{message}; {remedy}")
        self.reason = reason
        self.subject = subject
        self.remedy = remedy


class Busy(SandboxdError):  # noqa: N818 - the house's word, see docs/glossary.md
    """The queue is full; the same request may succeed after `retry_after`."""

    reason = "QUEUE_FULL"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        """Carry the time after which a new attempt is worth making."""
        super().__init__(message)
        self.retry_after = retry_after


class NotFoundError(SandboxdError):
    """The caller has nothing of this name; whether somebody else has is not told."""

    def __init__(self, reason: str, message: str) -> None:
        """Carry an UPPER_SNAKE reason and one sentence."""
        super().__init__(message)
        self.reason = reason


class ConflictError(SandboxdError):
    """The caller has something else of this name."""

    def __init__(self, reason: str, message: str) -> None:
        """Carry an UPPER_SNAKE reason and one sentence."""
        super().__init__(message)
        self.reason = reason


class StreamIdle(SandboxdError):  # noqa: N818 - what it is, as a word
    """A call stood still for too long: its caller neither sent nor took anything."""

    reason = "STREAM_IDLE"


class CallerError(SandboxdError):
    """The call is not allowed, whatever it asks for; nothing of the request was read."""

    def __init__(self, reason: str, message: str, remedy: str) -> None:
        """Carry an UPPER_SNAKE reason, one sentence, and what the caller or operator can do."""
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.reason = reason
        self.remedy = remedy


class UnauthenticatedError(CallerError):
    """Nobody knows who calls."""


class ForbiddenError(CallerError):
    """The caller is known, and lacks the right."""


class HostError(SandboxdError):
    """The host cannot sandbox now: its operator must change something."""

    def __init__(self, reason: str, message: str, remedy: str = "") -> None:
        """Carry an UPPER_SNAKE reason, one sentence, and the command or setting that mends it."""
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.reason = reason
        self.remedy = remedy


class BlobDamaged(HostError):  # noqa: N818 - what it is, as a word
    """What is on disk is not what was stored: it is lost, and has to be stored again."""


class StageError(SandboxdError):
    """A step of building, keeping or removing a sandbox failed; no program ran unprotected."""

    reason = "STAGE_FAILED"

    def __init__(self, stage: str, errno: int, detail: str) -> None:
        """Carry the stage's name (docs/stages.md), the errno (0 if none) and what was attempted."""
        name = errno_names.errorcode.get(errno, "")
        cause = f"{name} ({os.strerror(errno)})" if errno else "no errno"
        super().__init__(f"cannot complete stage {stage}: {detail}: {cause}")
        self.stage = stage
        self.errno = errno
        self.detail = detail


class SandboxLost(StageError):  # noqa: N818 - what happened, as a word
    """One of our processes died under a job; before the program starts, a second try is safe."""

    reason = "SANDBOX_LOST"

    def __init__(self, stage: str, detail: str, *, started: bool = False) -> None:
        """Say which stage it was in, and whether the program had started."""
        super().__init__(stage, 0, detail)
        self.started = started
