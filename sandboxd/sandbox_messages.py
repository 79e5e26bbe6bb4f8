"""What a client says to SandboxService, and what it hears, as messages; pure.

A sandbox and its programs have a job's rules, which are checked before anything is sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from sandboxd.errors import JobError, RequestError, Violation
from sandboxd.model.job import Job, OutputPath
from sandboxd.model.lasting import SandboxInfo, SandboxUsage
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import EnforcedLimit
from sandboxd.server import wire
from sandboxd.server.wire_values import unreadable, value_from, visible
from sandboxd.v1 import sandbox_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from google.protobuf.timestamp_pb2 import Timestamp

    from sandboxd.model.job import InputFile, Network, Terminal
    from sandboxd.model.outcome import OutputFile
    from sandboxd.v1 import runner_service_pb2 as runner_pb


OF_LIMITS = ("wall_time", "output_bytes", "stop_on_output")
"""What a program has of its own; all other limits are its sandbox's."""


class CreateFields(TypedDict, total=False):
    """What may be said of a sandbox; see `CreateSandboxRequest`."""

    limits: Limits
    policy: str
    root: str
    network: Network
    require: tuple[str, ...]
    idle_time: timedelta
    life_time: timedelta
    labels: Mapping[str, str]


class ProgramFields(TypedDict, total=False):
    """What may be said of a program in a sandbox beside its arguments; see `Program`."""

    env: Mapping[str, str]
    secret_env: Mapping[str, str]
    working_directory: str
    merge_stderr: bool
    terminal: Terminal | None
    wall_time: timedelta | None
    output_bytes: int | None
    stop_on_output: bool
    no_stdin: bool


# --- what is asked --------------------------------------------------------------------------------


def _job(argv: Iterable[str] = ("true",), **fields: Any) -> runner_pb.Job:  # noqa: ANN401 - of a Job
    """Give fields as a job's message has them; a job's rules are theirs."""
    return wire.job_message(Job(argv=tuple(argv), **fields))


def create(fields: CreateFields) -> pb.CreateSandboxRequest:
    """Ask for a sandbox."""
    asked: dict[str, Any] = dict(fields)
    labels = _sendable_labels(asked.pop("labels", {}))
    lives = {name: asked.pop(name) for name in ("idle_time", "life_time") if name in asked}
    job = _job(**asked)
    request = pb.CreateSandboxRequest(
        limits=job.limits,
        policy=job.policy,
        root=job.root,
        network=job.network,
        require=job.require,
        labels=labels,
    )
    for name, time in lives.items():
        getattr(request, name).FromTimedelta(time)
    return request


def listing(labels: Mapping[str, str] | None) -> pb.ListSandboxesRequest:
    """Ask for all sandboxes that have these labels."""
    return pb.ListSandboxesRequest(labels=_sendable_labels(labels or {}))


def program(sandbox_id: str, argv: Sequence[str], fields: ProgramFields) -> pb.ExecRequest:
    """Ask for a program in a sandbox."""
    if isinstance(argv, str):  # also a sequence of strings, but never what is meant
        raise JobError(Violation("argv", "must be a list of strings, not one string"))
    asked: dict[str, Any] = dict(fields)
    no_stdin = asked.pop("no_stdin", False)
    limits = Limits(**{name: asked.pop(name) for name in OF_LIMITS if name in asked})
    job = _job(argv, limits=limits, **asked)
    program = pb.Program(
        sandbox_id=sendable("sandbox_id", sandbox_id),
        argv=job.argv,
        env=job.env,
        secret_env=job.secret_env,
        working_directory=job.working_directory,
        merge_stderr=job.merge_stderr,
        terminal=job.terminal if job.HasField("terminal") else None,
        wall_time=job.limits.wall_time if job.limits.HasField("wall_time") else None,
        output_bytes=limits.output_bytes,
        stop_on_output=limits.stop_on_output,
        no_stdin=no_stdin,
    )
    return pb.ExecRequest(program=program)


def writing(sandbox_id: str, files: tuple[InputFile, ...]) -> pb.WriteFilesRequest:
    """Ask for files to be written."""
    name = sendable("sandbox_id", sandbox_id)
    return pb.WriteFilesRequest(sandbox_id=name, files=_job(files=files).files)


def reading(sandbox_id: str, paths: tuple[OutputPath | str, ...]) -> pb.ReadFilesRequest:
    """Ask for files to be read."""
    outputs = tuple(OutputPath(path) if isinstance(path, str) else path for path in paths)
    name = sendable("sandbox_id", sandbox_id)
    return pb.ReadFilesRequest(sandbox_id=name, paths=_job(outputs=outputs).outputs)


def sendable(field: str, text: str) -> str:
    """Give text that a message can carry.

    Raises:
        RequestError: this one is none.

    """
    if visible(text) != text:
        raise RequestError(Violation(field, "must be valid UTF-8 to be sent"))
    return text


def _sendable_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    return {sendable("labels", key): sendable("labels", value) for key, value in labels.items()}


# --- what is answered -----------------------------------------------------------------------------


def info(answer: Any) -> SandboxInfo:  # noqa: ANN401 - any answer with a sandbox
    """Give the sandbox that an answer tells of; raises as `to_info`."""
    return to_info(answer.sandbox)


def to_info(message: pb.Sandbox) -> SandboxInfo:
    """Give the sandbox that a message tells of.

    Raises:
        HostError: this client cannot read it (reason UNREADABLE_ANSWER).

    """
    try:
        return SandboxInfo(
            id=message.id,
            create_time=_moment(message.create_time),
            expire_time=_moment(message.expire_time),
            idle_expire_time=_moment(message.idle_expire_time)
            if message.HasField("idle_expire_time")
            else None,
            paused=message.paused,
            running_count=message.running_count,
            labels=dict(message.labels),
            usage=value_from(SandboxUsage, message.usage),
            enforced=tuple(value_from(EnforcedLimit, limit) for limit in message.enforced),
            policy_digest=message.policy_digest,
        )
    except (ValueError, OverflowError) as error:
        raise unreadable() from error


def _moment(stamp: Timestamp) -> datetime:
    moment: datetime = stamp.ToDatetime(UTC)
    return moment


def file(answer: pb.ReadFilesResponse) -> OutputFile:
    """Give the file that an answer carries; raises as `to_info`."""
    try:
        return wire.to_file(answer.file)
    except KeyError as error:
        raise unreadable() from error
