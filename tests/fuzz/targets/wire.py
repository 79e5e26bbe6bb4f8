"""Bytes of a request become a job or a refusal that names fields; bytes of an answer, a result."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from sandboxd.errors import HostError, JobError, SandboxdError
from sandboxd.model.job import InputFile, Job, OutputPath
from sandboxd.model.limits import Limits, built_in
from sandboxd.server import wire
from sandboxd.server.wire_bytes import request_from
from sandboxd.v1 import runner_service_pb2 as pb

MAX_STATUS_BYTES = 8 << 10
"""What gRPC peers accept as trailing metadata."""

_JOB = Job(
    argv=("cat", "ä"),
    env={"A": "1"},
    stdin=b"input",
    files=(InputFile("x", b"content", executable=True),),
    outputs=(OutputPath("**/o*", max_bytes=7),),
    limits=Limits(memory_bytes=1 << 20, cpu_count=1.5),
    merge_stderr=True,
    require=("cgroups",),
)
SEEDS = (
    wire.from_job(_JOB).SerializeToString(),
    wire.from_job(Job(argv=("true",), limits=built_in("default"))).SerializeToString(),
    pb.RunResponse(
        outcome=pb.Outcome(exited=pb.Exited(exit_code=3), limits_touched=["cpu_time"]),
        stdout=pb.Captured(data=b"x", total_bytes=9, truncated=True),
        files=[pb.OutputFile(path="o", content=pb.Content(data=b"y"))],
    ).SerializeToString(),
    wire.status_of(HostError("A_REASON", "cannot", "mend it")).SerializeToString(),
)


def check(data: bytes) -> None:
    """Read the same bytes as each kind of message that comes from outside."""
    _request(data)
    _answer(data)
    _status(data)


def _request(data: bytes) -> None:
    try:
        message = request_from(pb.RunRequest.DESCRIPTOR, data)
        assert isinstance(message, pb.RunRequest)
        job = wire.to_job(message)
    except JobError as error:
        if not error.violations or wire.status_of(error).ByteSize() >= MAX_STATUS_BYTES:
            raise
        return
    sent = wire.from_job(job)  # compared as a message: no NaN equals itself
    again = wire.from_job(wire.to_job(sent))
    assert again.SerializeToString(deterministic=True) == sent.SerializeToString(deterministic=True)


def _answer(data: bytes) -> None:
    try:
        result = wire.from_response(pb.RunResponse.FromString(data))
    except (DecodeError, HostError):
        return
    wire.to_response(result).SerializeToString()


def _status(data: bytes) -> None:
    try:
        status = Status.FromString(data)
    except DecodeError:
        return
    error = wire.error_from(status)
    assert isinstance(error, SandboxdError)
    assert wire.status_of(error).ByteSize() < MAX_STATUS_BYTES
