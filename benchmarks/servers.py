"""A server of ours to measure, and clients that cost as little as can be.

A client sends the same bytes again and again, on a connection of its own, and does no more with an
answer than to see that the job went well.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc

import sandboxd
from sandboxd.v1 import runner_service_pb2 as pb

PROGRAM = "/bin/true"
PATIENCE = timedelta(seconds=20)
CREDENTIALS = struct.Struct("3i")
METHOD = "/sandboxd.v1.RunnerService/Run"
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
"""Else all channels of a process share one connection."""

RunJob = Callable[[], Awaitable[None]]
"""Runs one job to its end; raises if it went otherwise than well."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and how to open one connection to it."""

    name: str
    connect: Callable[[], Coroutine[Any, Any, RunJob]]


async def connect_grpc(
    address: str, method: str, request: bytes, succeeded: Callable[[bytes], bool]
) -> RunJob:
    """Open a channel of its own; bytes go out, bytes come in."""
    channel = grpc.aio.insecure_channel(address, options=OPTIONS)
    call = channel.unary_unary(method, None, None)  # holds the channel

    async def run_job() -> None:
        answer: bytes = await call(request)
        if not succeeded(answer):
            raise SystemExit(f"cannot measure: {address} answers {answer!r}")

    return run_job


def ours(name: str, address: str) -> Server:
    """Give a server of ours; it holds the job to all limits, at their defaults."""
    request = pb.RunRequest(job=pb.Job(argv=[PROGRAM])).SerializeToString()

    def succeeded(answer: bytes) -> bool:
        outcome = pb.RunResponse.FromString(answer).outcome
        return outcome.WhichOneof("ending") == "exited" and outcome.exited.exit_code == 0

    return Server(name, lambda: connect_grpc(address, METHOD, request, succeeded))


@contextmanager
def serving(*options: str) -> Iterator[tuple[str, str]]:
    """Have a server of ours, in processes of its own; give its two addresses, TCP and unix."""
    with tempfile.TemporaryDirectory() as directory, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        tcp, unix = f"127.0.0.1:{port}", f"unix:{directory}/sandboxd.sock"
        log = Path(directory, "log")
        listening = ("serve", "--listen", tcp, "--listen", unix, "--audit", os.devnull)
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "sandboxd", *listening, *options], stderr=stream
            )
        try:
            _await_answer(process, unix, log)
            yield tcp, unix
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def pid_of(unix: str) -> int:
    """Tell the process that listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(unix.removeprefix("unix:"))
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        return int(CREDENTIALS.unpack(credentials)[0])


def _await_answer(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(sandboxd.HostError), sandboxd.SyncClient(address) as client:
            client.get_host(timeout=PATIENCE)
            return
        time.sleep(0.05)
    raise SystemExit(f"cannot measure: no server\n{log.read_text()}")
