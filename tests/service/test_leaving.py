"""The server around the service: health, reflection, fairness, leaving, and what it survives."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from post import (
    AT_ONCE,
    PATIENCE,
    alive,
    daemon,
    descendants,
    eventually,
    marker,
    posted,
    refusal,
    request,
    sleep_request,
    sleeper,
    sleepers,
    stub_of,
)

from sandboxd.errors import HostError
from sandboxd.identity import IdMode
from sandboxd.server.serving import SERVICE, Server
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path

    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")

Code = grpc.StatusCode
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health_at(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))
        return int(answer.status)


# --- beside the service ---------------------------------------------------------------------------


async def test_health_is_serving_and_watchers_hear_of_the_drain(post: Post) -> None:
    async with grpc.aio.insecure_channel(post.unix) as channel, stub_of(post.unix) as stub:
        running = await sleeper(stub)
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=SERVICE)
        )
        assert (await watch.read()).status == SERVING
        assert await health_at(post.tcp) == SERVING
        leaving = asyncio.create_task(post.server.drain())
        assert (await asyncio.wait_for(watch.read(), PATIENCE)).status == NOT_SERVING
        assert await health_at(post.tcp) == NOT_SERVING
        watch.cancel()
        await running.end()
        await asyncio.wait_for(leaving, PATIENCE)


async def test_health_speaks_of_the_whole_server_too(post: Post) -> None:
    async with grpc.aio.insecure_channel(post.tcp) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))
        assert unknown.value.code() is Code.NOT_FOUND


async def reflected(address: str, **asked: str) -> Any:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**asked)]))
        return await call.read()


async def test_reflection_lists_the_services(post: Post) -> None:
    answer = await reflected(post.tcp, list_services="")
    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


async def test_reflection_describes_every_rpc(post: Post) -> None:
    answer = await reflected(post.tcp, file_containing_symbol=SERVICE)
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    methods = {
        method.name
        for file in files
        for service in file.service
        if f"{file.package}.{service.name}" == SERVICE
        for method in service.method
    }
    assert methods == set(pb.DESCRIPTOR.services_by_name["RunnerService"].methods_by_name)


async def test_get_host_describes_this_host(post: Post, stub: Any) -> None:
    answer = await stub.GetHost(pb.GetHostRequest())
    host = post.supervisor.host
    assert answer.version == host.version
    assert answer.kernel_release == os.uname().release
    assert answer.cgroup_rung == host.cgroup_rung
    assert answer.id_mode == (
        pb.ID_MODE_RANGE if host.id_mode is IdMode.RANGE else pb.ID_MODE_SINGLE
    )
    assert answer.processor_count == len(os.sched_getaffinity(0))
    assert answer.slot_count == post.server.admission.slot_count == host.slot_count
    assert answer.memory_bytes == host.memory_bytes
    assert answer.ceilings.memory_bytes == host.ceilings.memory_bytes
    assert answer.defaults.cpu_time.ToTimedelta() == host.defaults.cpu_time
    assert {row.limit: row.mechanism for row in answer.mechanisms} == dict(host.mechanisms)
    assert {policy.name for policy in answer.policies} == set(host.policies)
    assert answer.roots == list(host.roots)
    assert set(host.features) <= set(answer.features)
    assert [weakness.subject for weakness in answer.weaknesses] == [
        weakness.subject for weakness in host.weaknesses
    ]


async def test_a_ceiling_that_is_described_is_granted_and_one_more_refused(stub: Any) -> None:
    ceilings = (await stub.GetHost(pb.GetHostRequest())).ceilings
    at_ceiling = pb.Limits(output_bytes=ceilings.output_bytes)
    answer = await stub.Run(request("true", limits=at_ceiling))
    assert answer.outcome.exited.exit_code == 0
    beyond = pb.Limits(output_bytes=ceilings.output_bytes + 1)
    refused = await refusal(stub.Run(request("true", limits=beyond)))
    assert list(refused.fields) == ["job.limits.output_bytes"]


# --- whose turn it is -----------------------------------------------------------------------------


async def test_a_tenant_with_many_jobs_does_not_keep_another_waiting(tmp_path: Path) -> None:
    when = "import time; print(time.time_ns())"
    async with (
        posted(tmp_path, slot_count=1, queue_length=20) as post,
        stub_of(post.unix) as greedy,
        stub_of(post.tcp) as modest,
    ):
        busy = await sleeper(greedy)
        calls = []
        for number in range(5):
            calls.append(greedy.Run(request("python3", "-c", when)))
            await queued(post, number + 1)
        late = modest.Run(request("python3", "-c", when))
        await queued(post, 6)
        await busy.end()
        order = [int((await call).stdout.data) for call in calls]
        assert order == sorted(order), "one tenant's jobs run in the order in which they came"
        assert int((await late).stdout.data) < order[1], "the other tenant's turn is the second"


async def queued(post: Post, count: int) -> None:
    await eventually(lambda: post.server.admission.waiting_count == count)


async def test_no_more_jobs_run_at_once_than_there_are_slots(tmp_path: Path) -> None:
    seconds = marker()
    async with posted(tmp_path, slot_count=2, queue_length=20) as post, stub_of(post.unix) as stub:
        calls = [stub.Run(sleep_request(seconds)) for _ in range(5)]
        await queued(post, 3)
        for left in (5, 4, 3, 2, 1):
            running = min(left, 2)
            await queued(post, left - running)
            await eventually(lambda running=running: post.server.admission.held_count == running)
            await eventually(lambda running=running: len(sleepers(seconds)) == running)
            calls.pop(0).cancel()
        await eventually(lambda: post.server.admission.held_count == 0)
        assert not sleepers(seconds)


# --- where it listens -----------------------------------------------------------------------------


async def test_the_socket_is_for_its_owner_alone(post: Post) -> None:
    mode = os.stat(post.unix.removeprefix("unix:")).st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:5000", "example.org:5000"])
async def test_tcp_beyond_loopback_is_refused(post: Post, address: str) -> None:
    with pytest.raises(HostError) as refused:
        async with Server(post.supervisor, [address]):
            pass
    assert refused.value.reason == "UNAUTHENTICATED_TCP"


async def test_a_living_servers_address_is_not_taken(post: Post) -> None:
    for address in (post.unix, post.tcp):
        with pytest.raises(HostError) as refused:
            async with Server(post.supervisor, [address]):
                pass
        assert refused.value.reason == "CANNOT_LISTEN"
        async with stub_of(address) as stub:
            assert (await stub.GetHost(pb.GetHostRequest())).version


# --- what it survives -----------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
GARBAGE = {
    "noise": bytes(range(256)) * 64,
    "zeros": bytes(10000),
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a preface cut off": PREFACE[:10],
    "a frame of the largest size": PREFACE + SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1",
    "headers that are none": PREFACE + SETTINGS + b"\0\0\5\1\4\0\0\0\1\xff\xff\xff\xff\xff",
    "data for no stream": PREFACE + SETTINGS + b"\0\0\3\0\1\0\0\0\7abc",
    "a flood of pings": PREFACE + SETTINGS + b"\0\0\x08\6\0\0\0\0\0PINGPONG" * 5000,
    "a flood of resets": PREFACE + SETTINGS + b"\0\0\4\3\0\0\0\0\1\0\0\0\x08" * 5000,
}


@pytest.mark.parametrize("case", GARBAGE)
async def test_the_server_survives_garbage(post: Post, case: str) -> None:
    loop = asyncio.get_running_loop()
    path = post.unix.removeprefix("unix:")
    host, port = post.tcp.split(":")
    for family, address in ((socket.AF_UNIX, path), (socket.AF_INET, (host, int(port)))):
        with socket.socket(family, socket.SOCK_STREAM) as peer:
            peer.settimeout(0)
            await loop.sock_connect(peer, address)
            try:
                await loop.sock_sendall(peer, GARBAGE[case])
            except OSError:
                continue  # the server has closed already, and may
    async with stub_of(post.unix) as stub:
        assert (await stub.Run(request("true"), timeout=PATIENCE)).outcome.exited.exit_code == 0


async def test_an_unknown_method_is_unimplemented(post: Post) -> None:
    async with grpc.aio.insecure_channel(post.tcp) as channel:
        for method in (f"/{SERVICE}/NoSuch", "/no.such/Run", "/"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(method)(b"")
            assert refused.value.code() is Code.UNIMPLEMENTED
    assert await health_at(post.tcp) == SERVING


# --- leaving --------------------------------------------------------------------------------------


async def test_sigterm_lets_the_running_job_finish_and_refuses_new_ones(tmp_path: Path) -> None:
    with daemon(tmp_path, "--slots", "1") as served:
        async with stub_of(served.unix) as stub:
            seconds = "1." + marker()
            running = stub.Run(request("sh", "-c", f"sleep {seconds}; echo finished"))
            await eventually(lambda: sleepers(seconds))
            queued = stub.Run(request("echo", "queued"))
            assert (await stub.GetHost(pb.GetHostRequest())).version  # it came behind
            served.signal()
            while await health_at(served.unix) != NOT_SERVING:
                pass
            refused = await refusal(stub.Run(request("true")))
            assert (refused.code, refused.info.reason) == (Code.UNAVAILABLE, "DRAINING")
            assert (await running).stdout.data == b"finished\n"
            assert (await queued).stdout.data == b"queued\n"
        assert await served.end() == 0
    assert os.listdir(tmp_path) == ["log"], "its socket is gone"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_cancels_what_still_runs(tmp_path: Path, number: int) -> None:
    with daemon(tmp_path) as served:
        async with stub_of(served.unix) as stub:
            running = await sleeper(stub)
            served.signal(number)
            while await health_at(served.unix) != NOT_SERVING:
                pass
            assert running.lives()
            served.signal(number)
            refused = await refusal(running.call)
            assert refused.code in {Code.UNAVAILABLE, Code.CANCELLED}
            await eventually(lambda: not running.lives(), AT_ONCE)
        assert await served.end() == 0


async def test_a_grace_bounds_the_drain(tmp_path: Path) -> None:
    with daemon(tmp_path, "--grace", "200ms") as served:
        async with stub_of(served.unix) as stub:
            running = await sleeper(stub)
            served.signal()
            assert (await refusal(running.call)).code in {Code.UNAVAILABLE, Code.CANCELLED}
            assert not running.lives()
        assert await served.end() == 0


async def test_an_idle_server_leaves_at_once(tmp_path: Path) -> None:
    with daemon(tmp_path) as served:
        below = descendants(served.process.pid)
        assert below
        served.signal()
        assert await served.end() == 0
        assert not alive(below)


async def test_a_killed_server_leaves_nothing_within_a_second(tmp_path: Path) -> None:
    count = 50
    with daemon(tmp_path, "--slots", str(count)) as served:
        async with stub_of(served.unix) as stub:
            seconds = marker()
            calls = [stub.Run(sleep_request(seconds)) for _ in range(count)]
            await eventually(lambda: len(sleepers(seconds)) == count)
            below = descendants(served.process.pid)
            assert len(below) > 2 * count
            served.process.kill()
            await eventually(lambda: not alive(below), AT_ONCE)
            assert not sleepers(seconds)
            codes = {(await refusal(call)).code for call in calls}
            assert codes == {Code.UNAVAILABLE}
    with daemon(tmp_path) as next_one:  # the dead one's socket is in the way, and replaced
        async with stub_of(next_one.unix) as stub:
            assert (await stub.Run(request("true"))).outcome.exited.exit_code == 0
