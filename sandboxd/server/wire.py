"""Between the messages of `sandboxd.v1` and the values of `sandboxd.model`, both ways; pure.

Decides what a message means and refuses what the values cannot say. Never looks at the host, never
does I/O, never raises anything but `SandboxdError`. Three files do a part each, and this one offers
their functions too: `wire_errors`, `wire_host` and, for what they share, `wire_values`.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sandboxd.errors import JobError, Violation
from sandboxd.model.blob import Digest
from sandboxd.model.job import (
    MAX_ARGUMENT_COUNT,
    MAX_ENV_COUNT,
    MAX_FILE_COUNT,
    MAX_OUTPUT_COUNT,
    WORKSPACE,
    InputFile,
    Job,
    Network,
    OutputPath,
    Terminal,
)
from sandboxd.model.limits import ROWS
from sandboxd.model.outcome import (
    Captured,
    Ending,
    EnforcedLimit,
    Exited,
    FileFault,
    LimitExceeded,
    NotStarted,
    Outcome,
    OutputFile,
    RunResult,
    Signaled,
    SyscallDenied,
    Usage,
)
from sandboxd.server.wire_digest import digest_of, digest_violations, from_digest
from sandboxd.server.wire_errors import error_from, in_request, status_of
from sandboxd.server.wire_host import HostDescription, from_host_response, to_host_response
from sandboxd.server.wire_values import (
    MAX_DURATION,
    NETWORK_OF,
    NETWORKS,
    message_from,
    to_limits,
    unreadable,
    value_from,
    visible,
)
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "HostDescription",
    "error_from",
    "from_file",
    "from_host_response",
    "from_job",
    "from_outcome",
    "from_response",
    "in_request",
    "job_from",
    "job_message",
    "status_of",
    "to_file",
    "to_host_response",
    "to_job",
    "to_outcome",
    "to_response",
]

ENDINGS = {
    Exited: ("exited", pb.Exited),
    Signaled: ("signaled", pb.Signaled),
    LimitExceeded: ("limit_exceeded", pb.LimitExceeded),
    SyscallDenied: ("syscall_denied", pb.SyscallDenied),
    NotStarted: ("not_started", pb.NotStarted),
}
"""The field of `Outcome.ending` that carries each ending, and its message."""
ENDING_OF: dict[str, type[Ending]] = {name: kind for kind, (name, _) in ENDINGS.items()}

FILE_FAULTS = {fault: getattr(pb, f"FILE_FAULT_{fault.name}") for fault in FileFault}
FILE_FAULT_OF = {int(number): fault for fault, number in FILE_FAULTS.items()}


MAX_REQUIRED_COUNT = 256
MAX_COUNTS = {
    "argv": MAX_ARGUMENT_COUNT,
    "env": MAX_ENV_COUNT,
    "secret_env": MAX_ENV_COUNT,
    "files": MAX_FILE_COUNT,
    "outputs": MAX_OUTPUT_COUNT,
    "require": MAX_REQUIRED_COUNT,
}


def to_job(request: pb.RunRequest) -> Job:
    """Give the job that a request asks for; as `job_from`."""
    return job_from(request.job)


def job_from(asked: pb.Job, path: str = "job.") -> Job:
    """Give the job that a message describes, whose own path in the request is given.

    Raises:
        JobError: naming every field at fault by its path in the request (`job.argv[0]`).

    """
    # Before anything is made of them: two million empty ones fit into few bytes.
    broken = [
        Violation(name, f"must have at most {most} entries")
        for name, most in MAX_COUNTS.items()
        if len(getattr(asked, name)) > most
    ]
    if broken:
        raise in_request(JobError(*broken), path)
    try:
        job = Job(
            argv=tuple(asked.argv),
            env=dict(asked.env),
            secret_env=dict(asked.secret_env),
            working_directory=asked.working_directory or WORKSPACE,
            stdin=_to_content(asked, "stdin", "stdin", broken),
            files=tuple(
                InputFile(
                    path=file.path,
                    content=_to_content(file, "content", f"files[{index}].content", broken),
                    executable=file.executable,
                    secret=file.secret,
                )
                for index, file in enumerate(asked.files)
            ),
            outputs=tuple(_to_output(output) for output in asked.outputs),
            limits=to_limits(asked.limits, broken),
            policy=asked.policy or "default",
            root=asked.root or "host",
            network=_to_network(asked.network, broken),
            merge_stderr=asked.merge_stderr,
            terminal=_to_terminal(asked),
            require=tuple(asked.require),
            exclusive_cpus=asked.exclusive_cpus,
        )
    except JobError as error:
        raise in_request(JobError(*broken, *error.violations), path) from None
    if broken:
        raise in_request(JobError(*broken), path)
    return job


def from_job(job: Job) -> pb.RunRequest:
    """Give the request that asks for a job; as `job_message`."""
    return pb.RunRequest(job=job_message(job))


def job_message(job: Job) -> pb.Job:
    """Give the message that describes a job.

    Raises:
        JobError: naming every field that no message can carry (text that is no UTF-8, a number
            beyond 64 bits); all other rules are the server's.

    """
    violations = tuple(_unsendable(job))
    if violations:
        raise JobError(*violations)
    return pb.Job(
        argv=job.argv,
        env={name: value for name, value in job.env.items() if name not in job.secret_env},
        secret_env=job.secret_env,
        working_directory=job.working_directory,
        stdin=_from_content(job.stdin) if job.stdin else None,
        files=[
            pb.InputFile(
                path=file.path,
                content=_from_content(file.content),
                executable=file.executable,
                secret=file.secret,
            )
            for file in job.files
        ],
        outputs=[
            pb.OutputPath(path=o.path, optional=o.optional, store=o.store, max_bytes=o.max_bytes)
            for o in job.outputs
        ],
        limits=message_from(pb.Limits, job.limits),
        policy=job.policy,
        root=job.root,
        network=NETWORKS[job.network],
        merge_stderr=job.merge_stderr,
        terminal=_from_terminal(job.terminal),
        require=job.require,
        exclusive_cpus=job.exclusive_cpus,
    )


def to_response(result: RunResult) -> pb.RunResponse:
    """Give the answer that carries a result; bytes of paths that are no UTF-8 become visible."""
    return pb.RunResponse(
        outcome=from_outcome(result.outcome),
        stdout=message_from(pb.Captured, result.stdout),
        stderr=message_from(pb.Captured, result.stderr),
        files=[from_file(file) for file in result.files],
    )


def from_outcome(outcome: Outcome) -> pb.Outcome:
    """Give the message that carries an outcome."""
    return pb.Outcome(
        **_ending(outcome.ending),
        usage=message_from(pb.Usage, outcome.usage),
        limits_touched=outcome.limits_touched,
        enforced=[_enforced(limit) for limit in outcome.enforced],
        policy_digest=outcome.policy_digest,
    )


def from_response(response: pb.RunResponse) -> RunResult:
    """Give the result that an answer carries.

    Raises:
        HostError: this client cannot read the answer (reason UNREADABLE_ANSWER).

    """
    try:
        return RunResult(
            outcome=to_outcome(response.outcome),
            stdout=value_from(Captured, response.stdout),
            stderr=value_from(Captured, response.stderr),
            files=tuple(to_file(file) for file in response.files),
        )
    except (KeyError, OverflowError) as error:
        raise unreadable() from error


def to_outcome(outcome: pb.Outcome) -> Outcome:
    """Give the outcome that a message carries.

    Raises:
        KeyError, OverflowError: this client cannot read it.

    """
    name = outcome.WhichOneof("ending") or "none"
    return Outcome(
        ending=value_from(ENDING_OF[name], getattr(outcome, name)),
        usage=value_from(Usage, outcome.usage),
        limits_touched=tuple(outcome.limits_touched),
        enforced=tuple(value_from(EnforcedLimit, limit) for limit in outcome.enforced),
        policy_digest=outcome.policy_digest,
    )


def _to_content(
    holder: pb.Job | pb.InputFile, name: str, path: str, broken: list[Violation]
) -> bytes | Digest:
    """Give a Content's bytes or blob; absent means empty, a source unknown here is refused."""
    if not holder.HasField(name):
        return b""
    content: pb.Content = getattr(holder, name)
    source = content.WhichOneof("source")
    if source == "blob":
        broken += digest_violations(content.blob, f"{path}.blob")
        return digest_of(content.blob)
    if source is None:
        rule = "must have a source that this server knows: `data` or `blob`"
        broken.append(Violation(path, rule))
    return content.data


def _from_content(content: bytes | Digest) -> pb.Content:
    if isinstance(content, Digest):
        return pb.Content(blob=from_digest(content))
    return pb.Content(data=content)


def _to_terminal(asked: pb.Job) -> Terminal | None:
    if not asked.HasField("terminal"):
        return None
    size, usual = asked.terminal, Terminal()
    return Terminal(size.rows or usual.rows, size.columns or usual.columns, not size.no_echo)


def _from_terminal(terminal: Terminal | None) -> pb.Terminal | None:
    if terminal is None:
        return None
    return pb.Terminal(rows=terminal.rows, columns=terminal.columns, no_echo=not terminal.echo)


def _to_output(output: pb.OutputPath) -> OutputPath:
    max_bytes = output.max_bytes if output.HasField("max_bytes") else None
    return OutputPath(output.path, output.optional, max_bytes, output.store)


def _to_network(number: int, broken: list[Violation]) -> Network:
    if number in NETWORK_OF:
        return NETWORK_OF[number]
    if number != pb.NETWORK_UNSPECIFIED:
        broken.append(Violation("network", "must be a Network that this server knows"))
    return Network.NONE


@lru_cache(1024)
def _enforced(limit: EnforcedLimit) -> pb.EnforcedLimit:
    """Give the message of a limit; most jobs have the same ones."""
    return message_from(pb.EnforcedLimit, limit)


def _ending(ending: Ending) -> dict[str, Any]:
    """Give the argument of Outcome that carries an ending."""
    name, kind = ENDINGS[type(ending)]
    return {name: message_from(kind, ending)}


def _unsendable(job: Job) -> Iterator[Violation]:
    for path, text in _texts(job):
        if visible(text) != text:
            yield Violation(path, "must be valid UTF-8 to be sent")
    for row in ROWS:
        value = getattr(job.limits, row.name)
        if isinstance(value, timedelta) and abs(value) > MAX_DURATION:
            yield Violation(f"limits.{row.name}", "must be at most 10000 years")
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            yield Violation(f"limits.{row.name}", "must fit 64 bits")


def _texts(job: Job) -> Iterator[tuple[str, str]]:
    yield from ((f"argv[{index}]", text) for index, text in enumerate(job.argv))
    for name, value in job.env.items():
        holder = "secret_env" if name in job.secret_env else "env"
        yield f"{holder}[{name!a}]", name + value
    yield "working_directory", job.working_directory
    yield from ((f"files[{index}].path", file.path) for index, file in enumerate(job.files))
    yield from ((f"outputs[{index}].path", out.path) for index, out in enumerate(job.outputs))
    yield "policy", job.policy
    yield "root", job.root
    yield from ((f"require[{index}]", name) for index, name in enumerate(job.require))


def from_file(file: OutputFile) -> pb.OutputFile:
    """Give the message that carries a file, or why it did not come back."""
    path = visible(file.path)
    if file.fault is not None:
        fault = FILE_FAULTS[file.fault]
        return pb.OutputFile(path=path, fault=fault, executable=file.executable)
    content = _from_content(file.blob or file.content or b"")
    return pb.OutputFile(path=path, content=content, executable=file.executable)


def to_file(file: pb.OutputFile) -> OutputFile:
    """Give the file that a message carries; raises KeyError for a fault that is unknown here."""
    source = file.WhichOneof("result") == "content" and file.content.WhichOneof("source")
    if source == "blob":
        blob = digest_of(file.content.blob)
        return OutputFile(file.path, blob=blob, executable=file.executable)
    if source == "data":
        return OutputFile(file.path, content=file.content.data, executable=file.executable)
    return OutputFile(file.path, fault=FILE_FAULT_OF[file.fault], executable=file.executable)
