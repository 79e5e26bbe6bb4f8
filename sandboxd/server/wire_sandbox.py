"""Between the messages of SandboxService and the values behind them, both ways; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.errors import JobError, RequestError, Violation
from sandboxd.model.job import (
    MAX_FILE_COUNT,
    MAX_OUTPUT_COUNT,
    InputFile,
    Job,
    OutputPath,
)
from sandboxd.server import wire
from sandboxd.server.wire_live import LEAST_TIME, to_duration
from sandboxd.server.wire_values import to_limits
from sandboxd.v1 import runner_service_pb2 as runner_pb
from sandboxd.v1 import sandbox_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandboxd.host import Host

DEFAULT_IDLE, MAX_IDLE = timedelta(minutes=10), timedelta(days=1)
DEFAULT_LIFE, MAX_LIFE = timedelta(days=1), timedelta(days=7)
MAX_WALL_TIME = MAX_LIFE
MAX_LABELS, MAX_KEY_BYTES, MAX_LABEL_BYTES = 16, 64, 256
OWN_LIMITS = ("wall_time", "output_bytes", "stop_on_output")
"""Those of each program."""
ANY_PROGRAM = ("sandbox",)
"""What stands for all programs of a sandbox: it never runs."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A sandbox that is asked for."""

    template: Job
    """What holds for all of its programs together."""
    idle_time: timedelta
    life_time: timedelta
    labels: Mapping[str, str]


def to_wanted(request: pb.CreateSandboxRequest, host: Host) -> Wanted:
    """Give the sandbox that a request asks for.

    Raises:
        JobError: naming every field at fault by its path in the request.

    """
    violations = [
        Violation(f"limits.{name}", "must be unset: it is each program's")
        for name in OWN_LIMITS
        if (getattr(request.limits, name) if name == OWN_LIMITS[-1] else _has(request, name))
    ]
    violations += _label_violations(request.labels)
    idle_time, life_time = DEFAULT_IDLE, DEFAULT_LIFE
    template = None
    try:
        if request.HasField("idle_time"):
            idle_time = to_duration(request.idle_time, "idle_time", MAX_IDLE, LEAST_TIME)
        if request.HasField("life_time"):
            life_time = to_duration(request.life_time, "life_time", MAX_LIFE, LEAST_TIME)
        asked = runner_pb.Job(
            argv=ANY_PROGRAM,
            limits=request.limits,
            policy=request.policy,
            root=request.root,
            network=request.network,
            require=request.require,
            terminal=runner_pb.Terminal(),  # so that each program may have one
        )
        template = wire.job_from(asked, "")
    except JobError as error:
        violations += error.violations
    if violations or template is None:
        raise RequestError(*violations)
    if template.limits.cpu_time is None:
        limits = replace(template.limits, cpu_time=host.ceilings.cpu_time)
        template = replace(template, limits=limits)
    return Wanted(template, idle_time, life_time, dict(request.labels))


def to_program(request: pb.ExecRequest, template: Job) -> tuple[Job, bool]:
    """Give the program that a first message asks for, and whether its input comes live.

    Raises:
        JobError: a field of it is at fault.

    """
    asked = request.program
    violations: list[Violation] = []
    wall_time = None
    try:
        if asked.HasField("wall_time"):
            wall_time = to_duration(asked.wall_time, "program.wall_time", MAX_WALL_TIME, LEAST_TIME)
    except RequestError as error:
        violations += error.violations
    limits = to_limits(
        runner_pb.Limits(
            output_bytes=asked.output_bytes if asked.HasField("output_bytes") else None,
            stop_on_output=asked.stop_on_output,
        ),
        violations,
    )
    message = runner_pb.Job(
        argv=asked.argv,
        env=asked.env,
        secret_env=asked.secret_env,
        working_directory=asked.working_directory,
        merge_stderr=asked.merge_stderr,
        terminal=asked.terminal if asked.HasField("terminal") else None,
    )
    try:
        job = wire.job_from(message, "program.")
    except JobError as error:
        raise RequestError(*violations, *error.violations) from None
    if violations:
        raise RequestError(*violations)
    own = replace(
        template.limits,
        wall_time=wall_time,
        output_bytes=limits.output_bytes,
        stop_on_output=limits.stop_on_output,
    )
    return (
        replace(
            job,
            limits=own,
            policy=template.policy,
            root=template.root,
            network=template.network,
        ),
        not asked.no_stdin,
    )


def as_attach(request: pb.ExecRequest) -> runner_pb.AttachRequest:
    """Give what a later message says, as Attach says it.

    Raises:
        RequestError: it is another program.

    """
    said = request.WhichOneof("input")
    if said == "program":
        raise RequestError(Violation("program", "must be in the first message only"))
    return runner_pb.AttachRequest(**({said: getattr(request, said)} if said else {}))


def as_exec(response: runner_pb.AttachResponse) -> pb.ExecResponse:
    """Give what is heard, as Exec tells it."""
    heard = response.WhichOneof("event")
    return pb.ExecResponse(**{heard: getattr(response, heard)}) if heard else pb.ExecResponse()


def to_files(request: pb.WriteFilesRequest) -> tuple[InputFile, ...]:
    """Give the files that are to be written.

    Raises:
        JobError: naming every field at fault by its path in the request.

    """
    if len(request.files) > MAX_FILE_COUNT:
        raise RequestError(Violation("files", f"must have at most {MAX_FILE_COUNT} entries"))
    blobs = [
        Violation(f"files[{index}].content", "must be bytes: no blobs are taken here")
        for index, file in enumerate(request.files)
        if file.content.WhichOneof("source") == "blob"
    ]
    if blobs:
        raise RequestError(*blobs)
    job = runner_pb.Job(argv=ANY_PROGRAM, files=request.files)
    try:
        return wire.job_from(job, "").files
    except JobError as error:
        raise RequestError(*error.violations) from None


def to_paths(request: pb.ReadFilesRequest) -> tuple[OutputPath, ...]:
    """Give the files that are wanted.

    Raises:
        JobError: naming every field at fault by its path in the request.

    """
    if len(request.paths) > MAX_OUTPUT_COUNT:
        raise RequestError(Violation("paths", f"must have at most {MAX_OUTPUT_COUNT} entries"))
    stored = [
        Violation(f"paths[{index}].store", "must be unset: nothing is stored here")
        for index, path in enumerate(request.paths)
        if path.store
    ]
    if stored:
        raise RequestError(*stored)
    job = runner_pb.Job(argv=ANY_PROGRAM, outputs=request.paths)
    try:
        return wire.job_from(job, "").outputs
    except JobError as error:
        named = (
            Violation(v.field.replace("outputs", "paths", 1), v.rule) for v in error.violations
        )
        raise RequestError(*named) from None


def _has(request: pb.CreateSandboxRequest, limit: str) -> bool:
    return request.limits.HasField(limit)


def _label_violations(labels: Mapping[str, str]) -> list[Violation]:
    if len(labels) > MAX_LABELS:
        return [Violation("labels", f"must have at most {MAX_LABELS} entries")]
    return [
        Violation(f"labels[{key[:MAX_KEY_BYTES]!a}]", "must have 1 to 64 and 0 to 256 bytes")
        for key, value in labels.items()
        if not 1 <= len(key.encode()) <= MAX_KEY_BYTES or len(value.encode()) > MAX_LABEL_BYTES
    ]
