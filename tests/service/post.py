"""What the service tests share: a real server in the test's loop or as a process, and its jobs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from sandboxd.host import Settings, probe_host
from sandboxd.runtime.supervisor import Supervisor
from sandboxd.server.serving import Server
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from sandboxd.jobs.store import JobStore
    from sandboxd.server.tls import TlsFiles
    from sandboxd.store.blobs import BlobStore

PATIENCE = 30.0
"""Seconds after which anything that a test waits for counts as lost."""
AT_ONCE = 1.0
"""Seconds within which what should happen at once must have happened."""

_markers = count(os.getpid() * 1000)


@dataclass(frozen=True)
class Post:
    """A server in the test's event loop, and where it listens."""

    server: Server
    supervisor: Supervisor
    unix: str
    tcp: str


@asynccontextmanager
async def posted(
    directory: Path,
    callers: Path | None = None,
    tls: TlsFiles | None = None,
    blobs: BlobStore | None = None,
    *,
    jobs: JobStore | None = None,
    job_webhooks: Sequence[str] = (),
    **settings: Any,
) -> AsyncIterator[Post]:
    """Serve on a unix socket and on TCP while the context lasts."""
    listen = (f"unix:{directory}/s.sock", "127.0.0.1:0")
    host = probe_host(Settings(**settings))
    file = str(callers) if callers else None
    supervisor = Supervisor(host)
    server = Server(
        supervisor,
        listen,
        callers=file,
        tls=tls,
        blobs=blobs,
        jobs=jobs,
        job_webhooks=job_webhooks,
    )
    async with supervisor, server:
        yield Post(server, supervisor, *server.addresses)


@dataclass(frozen=True)
class Daemon:
    """A server as a process of its own."""

    process: subprocess.Popen[str]
    unix: str

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def end(self) -> int:
        """Wait for its end; give its exit code."""
        await eventually(lambda: self.process.poll() is not None)
        return self.process.returncode


@contextmanager
def daemon(directory: Path, *options: str) -> Iterator[Daemon]:
    """Start `sandboxd serve`, wait until it serves, and make sure that it ends."""
    unix = f"unix:{directory}/d.sock"
    log = directory / "log"
    command = [sys.executable, "-m", "sandboxd", "serve", "--listen", unix, *options]
    with log.open("w") as errors, subprocess.Popen(command, stderr=errors, text=True) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while "serving on" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.01)  # a look, not a wait: the deadline alone decides
            yield Daemon(process, unix)
        finally:
            process.kill()


@asynccontextmanager
async def stub_of(address: str) -> AsyncIterator[Any]:
    """Give the bare gRPC stub: what a client in any language sees."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield pb_grpc.RunnerServiceStub(channel)


def request(*argv: str, **fields: Any) -> pb.RunRequest:
    return pb.RunRequest(job=pb.Job(argv=argv, **fields))


@dataclass(frozen=True)
class Refusal:
    """How a call failed: its code, its message, its details."""

    code: grpc.StatusCode
    message: str
    status: Status

    @property
    def info(self) -> ErrorInfo:
        """The one ErrorInfo that every error of ours has."""
        info: ErrorInfo = self.detail(ErrorInfo)
        assert info.domain == "sandboxd"
        return info

    def detail(self, kind: type) -> Any:
        """Give the one detail of this type."""
        (packed,) = (packed for packed in self.status.details if packed.Is(kind.DESCRIPTOR))
        detail = kind()
        assert packed.Unpack(detail)
        return detail

    @property
    def fields(self) -> dict[str, str]:
        """What is wrong with each field, of an INVALID_ARGUMENT."""
        return {v.field: v.description for v in self.detail(BadRequest).field_violations}


async def refusal(call: Any) -> Refusal:
    """Await a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error, status = caught.value, Status()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    if status.details:
        assert status.code == error.code().value[0]
    return Refusal(error.code(), error.details() or "", status)


# --- jobs that are seen from the host -------------------------------------------------------------


def marker() -> str:
    """Give a number of seconds to sleep that nobody else sleeps."""
    return str(1_000_000 + next(_markers))


def sleepers(seconds: str) -> list[int]:
    """Name the host's processes that sleep so long."""
    wanted = b"sleep\0" + seconds.encode() + b"\0"
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                if Path(f"/proc/{name}/cmdline").read_bytes() == wanted:
                    found.append(int(name))
    return found


@dataclass(frozen=True)
class Sleeper:
    """A job that runs until its call ends."""

    call: Any
    seconds: str

    def lives(self) -> bool:
        return bool(sleepers(self.seconds))

    async def end(self) -> None:
        """Cancel it and wait until it is gone."""
        self.call.cancel()
        await eventually(lambda: not self.lives())


def sleep_request(seconds: str) -> pb.RunRequest:
    asked = request("sleep", seconds)
    asked.job.limits.wall_time.FromSeconds(600)
    return asked


async def sleeper(stub: Any, timeout: float | None = None) -> Sleeper:  # noqa: ASYNC109 - gRPC's
    """Start a job and wait until it really runs."""
    seconds = marker()
    job = Sleeper(stub.Run(sleep_request(seconds), timeout=timeout), seconds)
    await eventually(job.lives)
    return job


async def eventually(holds: Callable[[], Any], patience: float = PATIENCE) -> None:
    """Look until something holds; fail when it does not in time."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.005)  # a look, not a wait: the deadline alone decides


# --- processes ------------------------------------------------------------------------------------


def parent_of(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(stat.rpartition(")")[2].split()[1])


def descendants(pid: int) -> dict[int, str]:
    """Give every living process below one, with its start time."""
    stats = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                text = Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace")
                stats[int(name)] = text.rpartition(")")[2].split()
    found: dict[int, str] = {}
    pending = [pid]
    while pending:
        parent = str(pending.pop())
        below = {p: s[19] for p, s in stats.items() if s[1] == parent and s[0] not in "ZX"}
        found |= below
        pending += below
    return found


def alive(known: dict[int, str]) -> set[int]:
    """Name those that still live; a number alone may be somebody else's by now."""
    living = set()
    for pid, start in known.items():
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            values = stat.rpartition(")")[2].split()
            if values[19] == start and values[0] not in "ZX":
                living.add(pid)
    return living
