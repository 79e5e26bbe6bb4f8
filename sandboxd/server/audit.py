"""The audit: one line of JSON for each job, and each change of blobs, that somebody asked for.

Holds who, what by digest, under which policy, and how it ended; nothing that a client sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import time
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc.code_pb2 import Code

from sandboxd.errors import HostError, SandboxdError
from sandboxd.server.wire import ENDINGS, status_of
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandboxd.model.outcome import Ending, RunResult
    from sandboxd.server.calls import Call

audit_log = logging.getLogger("sandboxd.audit")
"""Where the lines go; silent until a level is set, by `write_to` for example."""
log = logging.getLogger(__name__)

EVENTS = {
    "/sandboxd.v1.RunnerService/Run": "run",
    "/sandboxd.v1.RunnerService/Attach": "attach",
    "/sandboxd.v1.RunnerService/RunGroup": "run_group",
    "/sandboxd.v1.RunnerService/RunBatch": "run_batch",
    "/sandboxd.v1.SandboxService/CreateSandbox": "create_sandbox",
    "/sandboxd.v1.SandboxService/DeleteSandbox": "delete_sandbox",
    "/sandboxd.v1.SandboxService/Exec": "exec",
    "/sandboxd.v1.JobService/StartJob": "start_job",
    "/sandboxd.v1.JobService/CancelJob": "cancel_job",
    "/sandboxd.v1.BlobService/UploadBlob": "upload_blob",
    "/sandboxd.v1.BlobService/DeleteBlob": "delete_blob",
}
"""Which calls leave a line, and as what."""
JOBS = {
    "run",
    "attach",
    "run_group",
    "run_batch",
    "start_job",
    "cancel_job",
    "create_sandbox",
    "exec",
}
LARGE_BYTES = 1 << 20
"""A request above this is digested in a thread, so that nobody waits for it."""
CLOCKS_APART_SECONDS = 0.1
"""A client whose deadline passes hangs up, and we may hear that before it passes here."""
TIMES = ("queue_time", "setup_time", "wall_time", "cpu_time")


def is_on() -> bool:
    """Tell whether anybody reads the audit; what is only for it need not be done else."""
    return audit_log.isEnabledFor(logging.INFO)


def job_digest(request: pb.RunRequest) -> str:
    """Give the SHA-256 of a request without the values of its secrets.

    Without them, so that nobody who reads it can try whether he guesses one.
    """
    job = request.job
    if job.secret_env or any(file.secret for file in job.files):
        request = pb.RunRequest(job=job)
        for name in job.secret_env:
            request.job.secret_env[name] = ""
        for file in request.job.files:
            if file.secret:
                file.ClearField("content")
    return f"sha256:{hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()}"


def case_digest(common: str, case: pb.BatchCase) -> str:
    """Give the SHA-256 of one case of a batch and of the digest that the common job has."""
    if any(file.secret for file in case.files):
        case = deepcopy(case)
        for file in case.files:
            if file.secret:
                file.ClearField("content")
    whole = common.encode() + case.SerializeToString(deterministic=True)
    return f"sha256:{hashlib.sha256(whole).hexdigest()}"


async def note_digest(call: Call, request: pb.RunRequest) -> None:
    """Note the digest of what a call asks for, if anybody reads the audit."""
    if not is_on():
        return
    if request.ByteSize() > LARGE_BYTES:
        call.job_digest = await asyncio.to_thread(job_digest, request)
    else:
        call.job_digest = job_digest(request)


@contextmanager
def recorded(call: Call, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[None]:
    """Write the line of a call when it has ended."""
    if not is_on():
        yield
        return
    began, clock = datetime.now(UTC), time.monotonic()
    left = ""
    try:
        yield
    except asyncio.CancelledError:
        remaining = context.time_remaining()
        passed = remaining is not None and remaining < CLOCKS_APART_SECONDS
        left = "DEADLINE_EXCEEDED" if passed else "CANCELLED"
        raise
    finally:
        status = left or (context.code() or grpc.StatusCode.OK).name
        audit_log.info(json.dumps(line_for(call, status, began, time.monotonic() - clock)))


@contextmanager
def case_recorded(call: Call) -> Iterator[None]:
    """Write the line of one case of a batch when it has ended."""
    if not is_on():
        yield
        return
    began, clock = datetime.now(UTC), time.monotonic()
    status = "OK"
    try:
        yield
    except asyncio.CancelledError:
        status = "CANCELLED"
        raise
    except SandboxdError as error:
        status, call.reason = Code.Name(status_of(error).code), error.reason
        raise
    finally:
        audit_log.info(json.dumps(line_for(call, status, began, time.monotonic() - clock)))


def write_end(job: str, tenant: str, result: RunResult | None = None, reason: str = "") -> None:
    """Write how a job that is kept has ended, as its call told only that it was accepted."""
    if not is_on():
        return
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "event": "job_ended",
        "caller": tenant,
        "job": job,
        "reason": reason or None,
        "ending": _ending(result.ending) if result else None,
        "seconds": _seconds(result),
    }
    audit_log.info(json.dumps(line))


def line_for(call: Call, status: str, began: datetime, seconds: float) -> dict[str, Any]:
    """Give what a line says; times are seconds."""
    known, result = call.known, call.result
    event = EVENTS[call.method]
    return {
        "time": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "event": event,
        "caller": known.caller.name if known else None,
        "known_by": known.by if known else None,
        "address": call.address,
        **({} if call.case is None else {"case": call.case}),
        **({"job": call.job} if call.job else {}),
        **({"sandbox": call.sandbox} if call.sandbox else {}),
        **(_job(call) if event in JOBS else {"blob": call.blob or None}),
        "status": status,
        "reason": call.reason or None,
        **({"ending": _ending(result.ending) if result else None} if event in JOBS else {}),
        "seconds": {"call": round(seconds, 6), **_seconds(result)},
    }


def _job(call: Call) -> dict[str, Any]:
    return {
        "job_digest": call.job_digest or None,
        "policy": call.policy or None,
        "policy_digest": call.policy_digest or None,
    }


def _ending(ending: Ending) -> dict[str, Any]:
    """Give its kind and its facts; not its message, which names the program."""
    names = [field.name for field in fields(ending) if field.name != "message"]
    return {"kind": ENDINGS[type(ending)][0], **{name: getattr(ending, name) for name in names}}


def _seconds(result: RunResult | None) -> dict[str, float]:
    if result is None:
        return {}
    usage = result.outcome.usage
    return {name.removesuffix("_time"): getattr(usage, name).total_seconds() for name in TIMES}


class AuditFile(logging.Handler):
    """Appends lines to a file that only its owner may read."""

    def __init__(self, path: str) -> None:
        """Open the file, or make it with mode 0600.

        Raises:
            HostError: it cannot be opened.

        """
        super().__init__()
        self._path = path
        self._fd = _opened(path)

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line, whole."""
        rest = (self.format(record) + "\n").encode()
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            log.error("cannot write %s: %s", self._path, error.strerror)  # noqa: TRY400 - no trace

    def reopen(self) -> None:
        """Open the path again: after a rotation it is another file.

        Raises:
            HostError: it cannot be opened; the old file is written on.

        """
        fresh, old = _opened(self._path), self._fd
        self._fd = fresh
        os.close(old)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
        super().close()


def write_to(handler: logging.Handler) -> None:
    """Begin the audit: its lines go to `handler` alone, as they are."""
    handler.setFormatter(logging.Formatter("%(message)s"))
    audit_log.propagate = False
    audit_log.setLevel(logging.INFO)
    audit_log.addHandler(handler)


def has_file() -> bool:
    """Tell whether the audit goes to a file."""
    return any(isinstance(handler, AuditFile) for handler in audit_log.handlers)


def reopen() -> None:
    """Open the audit's file again, if it goes to one.

    Raises:
        HostError: it cannot be opened; the old file is written on.

    """
    for handler in audit_log.handlers:
        if isinstance(handler, AuditFile):
            handler.reopen()


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(
            "AUDIT_UNWRITABLE",
            f"cannot write the audit to {path}: {error.strerror}",
            "name a file in a directory of the server's user",
        ) from error
