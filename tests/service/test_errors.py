"""Every row of the error table in docs/api.md, as it arrives at a client."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from calls import begun
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from sandboxd.client import Client, SyncClient
from sandboxd.errors import (
    Busy,
    HostError,
    JobError,
    PreconditionError,
    SandboxdError,
    StageError,
)
from sandboxd.model.job import MAX_INPUT_BYTES, InputFile
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited
from sandboxd.server.wire import error_from
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from conftest import Running, StartServer

LONG: dict[str, Any] = {
    "argv": ["sleep", "1000"],
    "limits": Limits(wall_time=timedelta(hours=1)),
}
"""A job that only ends when it is ended."""


def refused(address: str, job: pb.Job) -> tuple[grpc.StatusCode, dict[type, Any]]:
    """Ask as another language would; give the code and the details of the refusal."""
    with grpc.insecure_channel(address) as channel:
        stub = pb_grpc.RunnerServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Run(pb.RunRequest(job=job))
    status = rpc_status.from_call(caught.value)
    found = {}
    for kind in (ErrorInfo, BadRequest):
        for packed in status.details:
            if packed.Is(kind.DESCRIPTOR):
                found[kind] = kind()
                packed.Unpack(found[kind])
    return caught.value.code(), found


def test_invalid_argument_names_each_field_by_its_path(address: str) -> None:
    code, details = refused(
        address, pb.Job(argv=[""], limits=pb.Limits(cpu_time=Duration(seconds=-1)), network=9)
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details[ErrorInfo] == ErrorInfo(reason="INVALID_JOB", domain="sandboxd")
    assert {violation.field for violation in details[BadRequest].field_violations} == {
        "job.argv[0]",
        "job.limits.cpu_time",
        "job.network",
    }


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (pb.Limits(cpu_time=Duration(seconds=3600 * 24)), "job.limits.cpu_time"),
        (pb.Limits(memory_bytes=0), "job.limits.memory_bytes"),
        (pb.Limits(process_count=-1), "job.limits.process_count"),
        (pb.Limits(cpu_count=float("nan")), "job.limits.cpu_count"),
        (pb.Limits(cpu_count=float("inf")), "job.limits.cpu_count"),
    ],
)
def test_a_limit_beyond_this_host_is_named_by_its_path(
    server: Running, limits: pb.Limits, field: str
) -> None:
    code, details = refused(server.unix, pb.Job(argv=["true"], limits=limits))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in details[BadRequest].field_violations] == [field]


def test_text_that_is_no_utf8_is_named_by_its_path(server: Running) -> None:
    job = pb.Job(argv=["true", "??"]).SerializeToString().replace(b"??", b"\xff\xff")
    request = b"\x0a" + bytes([len(job)]) + job
    with grpc.insecure_channel(server.unix) as channel:
        run = channel.unary_unary(
            "/sandboxd.v1.RunnerService/Run", bytes, pb.RunResponse.FromString
        )
        with pytest.raises(grpc.RpcError) as caught:
            run(request)
    error = error_from(rpc_status.from_call(caught.value))
    assert isinstance(error, JobError)
    assert [violation.field for violation in error.violations] == ["argv[1]"]


async def test_a_client_sees_the_fields_of_job(server: Running) -> None:
    async with Client(server.unix) as client:
        with pytest.raises(JobError) as caught:
            await client.run(["true"], limits=Limits(cpu_time=timedelta(days=1), memory_bytes=-1))
    assert [v.field for v in caught.value.violations] == ["limits.cpu_time", "limits.memory_bytes"]


async def test_one_string_is_no_argv(server: Running) -> None:
    async with Client(server.unix) as client:
        with pytest.raises(JobError, match=r"argv: must be a list"):
            await client.run("true")


async def test_a_request_that_is_too_large_is_a_job_error(server: Running) -> None:
    half = bytes(MAX_INPUT_BYTES // 2 + (5 << 20))
    async with Client(server.unix) as client:
        with pytest.raises(JobError) as caught:
            await client.run(["true"], stdin=half, files=(InputFile("x", half),))
    (violation,) = caught.value.violations
    assert violation.field == "job"
    assert "larger than max" in violation.rule


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ({"policy": "no-such-policy"}, "POLICY_UNKNOWN"),
        ({"root": "no-such-root"}, "ROOT_UNKNOWN"),
        ({"require": ("no-such-feature",)}, "ENFORCEMENT_UNAVAILABLE"),
    ],
)
async def test_failed_precondition_says_what_is_missing(
    server: Running, job: dict[str, Any], reason: str
) -> None:
    async with Client(server.unix) as client:
        with pytest.raises(PreconditionError) as caught:
            await client.run(["true"], **job)
    assert caught.value.reason == reason
    assert "no-such" in caught.value.subject
    assert caught.value.remedy


async def test_a_full_queue_is_busy_and_says_when_to_retry(start_server: StartServer) -> None:
    with start_server("--slots", "1", "--queue", "0") as server:
        async with Client(server.unix) as client:
            holder = await begun(client, **LONG)
            with pytest.raises(Busy) as caught:
                await client.run(["true"])
            assert timedelta() < caught.value.retry_after < timedelta(minutes=1)
            holder.cancel()


async def test_cancelling_the_call_kills_the_job_and_frees_its_slot(
    start_server: StartServer,
) -> None:
    with start_server("--slots", "1") as server:
        async with Client(server.unix) as client:
            holder = await begun(client, **LONG)
            holder.cancel()
            with pytest.raises(asyncio.CancelledError):
                await holder
            assert (await client.run(["true"])).ending == Exited(0)


async def test_cancelling_a_call_that_waits_leaves_the_queue(start_server: StartServer) -> None:
    with start_server("--slots", "1", "--queue", "1") as server:
        async with Client(server.unix) as client:
            holder = await begun(client, **LONG)
            waiter = await begun(client, **LONG)
            waiter.cancel()
            holder.cancel()
            await asyncio.gather(holder, waiter, return_exceptions=True)
            assert (await client.run(["true"])).ending == Exited(0)


async def test_a_deadline_kills_the_job_and_frees_its_slot(start_server: StartServer) -> None:
    with start_server("--slots", "1") as server:
        async with Client(server.unix) as client:
            with pytest.raises(TimeoutError):
                await client.run(**LONG, timeout=timedelta(milliseconds=200))
            assert (await client.run(["true"])).ending == Exited(0)


def test_a_synchronous_deadline_is_a_timeout_too(server: Running) -> None:
    with SyncClient(server.unix) as client, pytest.raises(TimeoutError):
        client.run(**LONG, timeout=timedelta(milliseconds=200))


async def test_nobody_there_is_unreachable_and_names_the_address(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/nobody.sock"
    async with Client(address) as client:
        with pytest.raises(HostError, match=r"nobody\.sock") as caught:
            await client.get_host()
    assert caught.value.reason == "UNREACHABLE"
    assert "sandboxd serve" in caught.value.remedy
    with SyncClient(address) as client, pytest.raises(HostError, match=r"nobody\.sock"):
        client.get_host()


async def test_a_failed_stage_names_stage_and_errno(
    start_server: StartServer,
) -> None:
    shown = tempfile.mkdtemp(dir="/var/tmp")  # not /tmp, which is never shown
    with start_server("--root-bind", shown) as server:
        async with Client(server.unix) as client:
            os.rmdir(shown)  # so that the next zygote cannot build its root
            os.kill(zygote_below(server.process.pid), signal.SIGKILL)
            with pytest.raises(StageError) as caught:
                await client.run(["true"])
        server.process.terminate()
        _, log = server.ended()
    assert (caught.value.stage, caught.value.errno) == ("root_binds", errno.ENOENT)
    assert "cannot complete stage root_binds: ENOENT" in log


def zygote_below(pid: int) -> int:
    """Find the zygote among a server's descendants."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if Path(f"/proc/{child}/comm").read_text().strip() == "sandboxd-zygote":
            return int(child)
        if found := zygote_below(int(child)):
            return found
    return 0


async def test_a_defect_of_ours_is_logged_without_what_the_client_sent(
    start_server: StartServer,
) -> None:
    with start_server("--fault", "defect") as server:
        async with Client(server.unix) as client:
            with pytest.raises(SandboxdError) as caught:
                await client.run(["true"], stdin=b"a secret")
        server.process.terminate()
        _, log = server.ended()
    assert caught.value.reason == "UNEXPECTED"
    assert "ZeroDivisionError" in log
    assert "server_process.py" in log
    assert "secret" not in log + str(caught.value)
