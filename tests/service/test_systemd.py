"""`sandboxd serve` as a systemd service: what it reports, and the socket that it takes over."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import grpc
import pytest
from post import PATIENCE, eventually, refusal, request, sleeper, stub_of

from sandboxd.errors import HostError
from sandboxd.server.listening import Door
from sandboxd.server.systemd import Manager, inherited_fds, take_socket
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("sandboxing_host")

SERVE = (sys.executable, "-m", "sandboxd", "serve", "--listen")
OWN = (("grpc.use_local_subchannel_pool", 1),)
"""A channel with a connection of its own."""
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What systemd does between fork and exec."""


class Listener:
    """The manager's end of NOTIFY_SOCKET."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(PATIENCE)

    def close(self) -> None:
        self._socket.close()

    def hear(self) -> list[str]:
        return self._socket.recv(4096).decode().split("\n")

    def falls_silent(self) -> bool:
        """Tell whether nothing more comes for ten watchdog periods."""
        self._socket.settimeout(2)
        try:
            while self.hear():  # what was sent before
                pass
        except TimeoutError:
            return True
        return False

    def hear_until(self, word: str) -> list[str]:
        while word not in (words := self.hear()):
            pass
        return words


@contextmanager
def serving(directory: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    own = {n: v for n, v in os.environ.items() if n not in {"NOTIFY_SOCKET", "LISTEN_FDS"}}
    with (
        (directory / "log").open("a") as log,
        subprocess.Popen(
            command, stderr=log, text=True, env=own | environment, close_fds=False
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    heard = Listener(tmp_path)
    yield heard
    heard.close()


@contextmanager
def kept_socket(directory: Path) -> Iterator[socket.socket]:
    """Listen as the socket unit does: clients come by a link."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as kept:
        kept.bind(str(directory / "waiting.sock"))
        kept.listen()
        (directory / "sandboxd.sock").symlink_to(directory / "waiting.sock")
        yield kept


@contextmanager
def activated(
    directory: Path, kept: socket.socket, *options: str, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Start a server, and hand it the kept socket."""
    kept.set_inheritable(True)
    number, door = str(kept.fileno()), f"unix:{directory}/sandboxd.sock"
    command = (sys.executable, "-c", HAND_OVER, number, *SERVE, door, *options)
    with serving(directory, *command, **environment) as process:
        yield process


# --- what it reports ------------------------------------------------------------------------------


async def test_a_server_reports_when_it_serves_and_when_it_leaves(
    tmp_path: Path, listener: Listener
) -> None:
    address = f"unix:{tmp_path}/s.sock"
    with serving(tmp_path, *SERVE, address, NOTIFY_SOCKET=listener.path) as process:
        ready = await asyncio.to_thread(listener.hear_until, "READY=1")
        assert f"STATUS=serving on {address}" in ready
        async with stub_of(address) as stub:
            assert (await stub.Run(request("true"))).outcome.exited.exit_code == 0
            running = await sleeper(stub)
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(listener.hear_until, "STOPPING=1")
            assert process.poll() is None, "it says so before it waits for its jobs"
            await running.end()
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0


def test_a_server_shows_the_watchdog_that_its_loop_turns(
    tmp_path: Path, listener: Listener
) -> None:
    environment = {"NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": "200000"}
    with serving(tmp_path, *SERVE, f"unix:{tmp_path}/s.sock", **environment) as process:
        listener.hear_until("READY=1")
        for _ in range(3):
            listener.hear_until("WATCHDOG=1")
        process.send_signal(signal.SIGSTOP)
        assert listener.falls_silent()


def test_a_watchdog_of_another_process_is_not_ours() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert Manager.of(environment).watchdog_seconds is None
    assert environment == {}, "and nothing of it reaches the processes that we start"


def test_without_a_manager_nothing_is_reported_and_nothing_fails() -> None:
    manager = Manager.of({})
    manager.tell("READY=1")
    assert manager.watchdog_seconds is None


def test_a_manager_that_is_gone_does_not_disturb(tmp_path: Path) -> None:
    Manager(str(tmp_path / "gone"), None).tell("READY=1")


# --- the socket that it takes over ----------------------------------------------------------------


async def test_calls_wait_for_a_server_and_then_run(tmp_path: Path) -> None:
    with kept_socket(tmp_path) as kept:
        async with stub_of(f"unix:{tmp_path}/sandboxd.sock") as stub:
            calls = [stub.Run(request("echo", str(number))) for number in range(5)]
            await eventually(lambda: select.select([kept], [], [], 0)[0])  # one has come
            with activated(tmp_path, kept):
                outputs = [(await call).stdout.data for call in calls]
                assert outputs == [b"0\n", b"1\n", b"2\n", b"3\n", b"4\n"]
                link = (tmp_path / "sandboxd.sock").readlink()
                assert link == tmp_path / "serving.sock", "nothing stands between a client and gRPC"


async def test_a_call_made_while_a_server_leaves_waits_for_the_next(
    tmp_path: Path, listener: Listener
) -> None:
    address = f"unix:{tmp_path}/sandboxd.sock"
    with kept_socket(tmp_path) as kept:
        async with stub_of(address) as old, grpc.aio.insecure_channel(address, OWN) as channel:
            new = pb_grpc.RunnerServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
            with activated(tmp_path, kept, NOTIFY_SOCKET=listener.path) as first:
                await asyncio.to_thread(listener.hear_until, "READY=1")
                running = await sleeper(old)
                first.send_signal(signal.SIGTERM)
                await asyncio.to_thread(listener.hear_until, "STOPPING=1")
                await eventually(lambda: (tmp_path / "sandboxd.sock").readlink().name[0] == "w")
                waiting = new.Run(request("echo", "next"))
                refused = await refusal(old.Run(request("true")))
                assert refused.code is grpc.StatusCode.UNAVAILABLE
                await running.end()
                assert await asyncio.to_thread(first.wait, PATIENCE) == 0
            assert not waiting.done()
            with activated(tmp_path, kept):
                assert (await waiting).stdout.data == b"next\n"
                assert (await old.Run(request("true"))).outcome.exited.exit_code == 0


async def test_after_a_crash_the_next_server_takes_the_door_again(
    tmp_path: Path, listener: Listener
) -> None:
    with kept_socket(tmp_path) as kept:
        for _ in range(2):
            with activated(tmp_path, kept, NOTIFY_SOCKET=listener.path) as process:
                await asyncio.to_thread(listener.hear_until, "READY=1")
                async with stub_of(f"unix:{tmp_path}/sandboxd.sock") as stub:
                    assert (await stub.Run(request("true"))).outcome.exited.exit_code == 0
                process.kill()
                await asyncio.to_thread(process.wait, PATIENCE)


def test_sockets_for_another_process_are_left_alone() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}
    assert len(inherited_fds(environment)) == 0
    assert take_socket({}) is None
    assert environment == {}


def test_a_tcp_socket_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        with activated(tmp_path, tcp) as process:
            assert process.wait(PATIENCE) == 125
    log = (tmp_path / "log").read_text()
    assert "cannot take over the 1 sockets of the socket unit" in log
    assert "ListenStream=/PATH" in log


def test_what_is_no_link_stays_where_clients_look(tmp_path: Path) -> None:
    with kept_socket(tmp_path) as kept:
        precious = tmp_path / "precious"
        precious.write_text("content")
        with pytest.raises(HostError, match="no socket is there"):
            Door(kept, [precious]).check()
        assert precious.read_text() == "content"
        with suppress(FileNotFoundError):
            (tmp_path / "serving.sock").unlink()
