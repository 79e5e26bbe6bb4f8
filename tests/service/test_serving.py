"""Where the server listens, what it offers beside the service, and how it leaves."""

from __future__ import annotations

import os
import signal
import socket
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from calls import begun
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from sandboxd.client import Client
from sandboxd.errors import HostError
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited
from sandboxd.server.access import Peer
from sandboxd.server.listening import checked_host, make_way

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Running, StartServer

SERVICE = "sandboxd.v1.RunnerService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
LONG = Limits(wall_time=timedelta(hours=1))


async def not_serving(address: str) -> None:
    """Return when the server says that it takes no more jobs."""
    async with grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        async for answer in health_pb2_grpc.HealthStub(channel).Watch(request):
            if answer.status == NOT_SERVING:
                return


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_says_serving(address: str, service: str) -> None:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        assert health_pb2_grpc.HealthStub(channel).Check(request).status == SERVING


def test_reflection_describes_every_service(server: Running) -> None:
    with grpc.insecure_channel(server.unix) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) >= {SERVICE, "grpc.health.v1.Health"}
        assert database.FindFileContainingSymbol(SERVICE).name == "sandboxd/v1/runner_service.proto"


def test_the_socket_is_its_owners_alone(server: Running) -> None:
    assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.socket_path.parent.stat().st_mode) == 0o700


async def test_draining_lets_jobs_end_and_refuses_new_ones(start_server: StartServer) -> None:
    with start_server("--slots", "1") as server:
        async with Client(server.unix) as client:
            holder = await begun(client, argv=["sleep", "1"], limits=LONG)
            waiter = await begun(client, argv=["true"], limits=LONG)
            server.process.send_signal(signal.SIGTERM)
            await not_serving(server.unix)
            with pytest.raises(HostError) as caught:
                await client.run(["true"])
            assert caught.value.reason == "DRAINING"
            assert (await client.get_host()).slot_count == 1
            assert (await holder).ending == (await waiter).ending == Exited(0)
        assert server.ended() == (0, "")
        assert not server.socket_path.exists()


async def test_a_second_signal_cancels_what_still_runs(start_server: StartServer) -> None:
    with start_server() as server:
        async with Client(server.unix) as client:
            holder = await begun(client, argv=["sleep", "1000"], limits=LONG)
            server.process.send_signal(signal.SIGINT)
            await not_serving(server.unix)
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(HostError) as caught:
                await holder
            assert caught.value.reason == "DRAINING"
        assert server.ended() == (0, "")


async def test_the_grace_bounds_how_long_jobs_may_still_run(start_server: StartServer) -> None:
    with start_server("--grace", "0.1") as server:
        async with Client(server.unix) as client:
            holder = await begun(client, argv=["sleep", "1000"], limits=LONG)
            server.process.terminate()
            with pytest.raises(HostError) as caught:
                await holder
            assert caught.value.reason == "DRAINING"
        assert server.ended() == (0, "")


async def test_the_socket_of_a_dead_server_is_replaced(start_server: StartServer) -> None:
    with start_server() as dead:
        dead.process.kill()
        dead.process.wait()
        assert dead.socket_path.exists()
        with start_server(directory=dead.socket_path.parent) as server:
            assert server.socket_path == dead.socket_path
            async with Client(server.unix) as client:
                assert (await client.run(["true"])).ending == Exited(0)


@pytest.fixture
def live_socket(tmp_path: Path) -> Iterator[Path]:
    """Give a socket that somebody listens behind."""
    path = tmp_path / "live.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


def test_the_socket_of_a_live_server_is_not_replaced(live_socket: Path) -> None:
    with pytest.raises(HostError, match=r"cannot listen on .* another server listens there"):
        make_way(live_socket)
    assert live_socket.is_socket()


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "precious.txt"
    path.write_text("content")
    with pytest.raises(HostError, match="no socket is there"):
        make_way(path)
    assert path.read_text() == "content"


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="more than 107 bytes"):
        make_way(tmp_path / ("x" * 108))


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.9.10:1", "[::1]:65535", "localhost:80"])
def test_tcp_on_loopback_is_allowed(address: str) -> None:
    assert checked_host(address, is_safe=False) == address.rpartition(":")[0]


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1"])
def test_tcp_beyond_loopback_is_refused_without_authentication(address: str) -> None:
    with pytest.raises(HostError) as caught:
        checked_host(address, is_safe=False)
    assert caught.value.reason == "UNAUTHENTICATED_TCP"
    assert checked_host(address, is_safe=True) == address.rpartition(":")[0]


@pytest.mark.parametrize("address", ["", "here", ":1", "127.0.0.1:", "127.0.0.1:65536", "a:b"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(HostError) as caught:
        checked_host(address, is_safe=True)
    assert caught.value.reason == "INVALID_ADDRESS"


def test_a_port_that_is_taken_is_named(start_server: StartServer, server: Running) -> None:
    with (
        pytest.raises(pytest.fail.Exception, match=r"cannot listen on 127\.0\.0\.1"),
        start_server("--listen", server.tcp),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "uid", "tenant"),
    [
        ("unix:", os.getuid(), "unix"),
        ("unix:/run/sandboxd.sock", os.getuid(), "unix"),
        ("unix-abstract:gate", 1234, "unix"),
        ("ipv4:127.0.0.1:5000", None, "ipv4:127.0.0.1"),
        ("ipv6:%5B::1%5D:5000", None, "ipv6:%5B::1%5D"),
    ],
)
def test_a_peer_is_a_user_or_an_address_without_its_port(
    name: str, uid: int | None, tenant: str
) -> None:
    peer = Peer(name, {"unix-abstract:gate": 1234}.get)
    assert (peer.uid, peer.tenant) == (uid, tenant)
