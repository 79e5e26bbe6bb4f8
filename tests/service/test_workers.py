"""`sandboxd serve --workers`: several processes serve, and clients see one server."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from guards import Authority, bearer, code_of, row, subordinate_uids, token_of, written
from lane import unavailable
from post import (
    AT_ONCE,
    PATIENCE,
    Sleeper,
    alive,
    daemon,
    descendants,
    eventually,
    marker,
    parent_of,
    refusal,
    request,
    sleeper,
    sleepers,
    stub_of,
)
from test_gate import NAMESPACE, asked_as, open_directory
from test_leaving import NOT_SERVING, health_at
from test_systemd import SERVE, Listener, activated, kept_socket, serving

from sandboxd.client import Client
from sandboxd.model.limits import Limits
from sandboxd.server.gate import MAX_CONNECTIONS
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from post import Daemon

PROCESSORS = len(os.sched_getaffinity(0))
pytestmark = [
    pytest.mark.usefixtures("sandboxing_host"),
    pytest.mark.skipif(PROCESSORS < 2, reason="each worker needs a processor"),
]

LONG = Limits(wall_time=timedelta(seconds=600))
TWO = ("--workers", "2", "--slots", "8")
GET_HOST = "/sandboxd.v1.RunnerService/GetHost"
OWN = (("grpc.use_local_subchannel_pool", 1),)
"""A channel with a connection of its own."""
LOOPBACK = "127.0.0.1:0"


def children_of(parent: int) -> set[int]:
    found = set()
    for pid in descendants(parent):
        with suppress(FileNotFoundError):  # a sandbox that has ended meanwhile
            if parent_of(pid) == parent:
                found.add(pid)
    return found


@dataclass(frozen=True)
class Crew:
    """A server with several workers, and the addresses that it has taken."""

    served: Daemon
    addresses: tuple[str, ...]

    @property
    def workers(self) -> set[int]:
        """The parent starts nothing but workers."""
        return children_of(self.served.process.pid)

    def worker_of(self, job: Sleeper) -> int:
        """Name the worker below whom a job runs."""
        (worker,) = (w for w in self.workers if set(sleepers(job.seconds)) & set(descendants(w)))
        return worker

    @property
    def unix(self) -> str:
        return self.addresses[0]

    @property
    def tcp(self) -> str:
        return self.addresses[1]


@contextmanager
def crew(directory: Path, *options: str) -> Iterator[Crew]:
    with daemon(directory, "--listen", LOOPBACK, *TWO, *options) as served:
        log = (directory / "log").read_text()
        (places,) = re.findall("serving on (.*) as uid", log)
        yield Crew(served, tuple(places.split(", ")))


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Any]:
    """Give a stub with a connection of its own, which is made."""
    async with grpc.aio.insecure_channel(address, OWN) as channel:
        stub = pb_grpc.RunnerServiceStub(channel)
        await stub.GetHost(pb.GetHostRequest(), timeout=PATIENCE)
        yield stub


@dataclass(frozen=True)
class Shift:
    """Two connections, each to a worker of its own, and a job by each."""

    stubs: tuple[Any, Any]
    jobs: tuple[Sleeper, Sleeper]


@asynccontextmanager
async def shift(address: str) -> AsyncIterator[Shift]:
    async with connected(address) as one, connected(address) as other:
        yield Shift((one, other), (await sleeper(one), await sleeper(other)))


async def host_of(stub: Any) -> pb.GetHostResponse:
    answer = await stub.GetHost(pb.GetHostRequest(), timeout=PATIENCE)
    assert isinstance(answer, pb.GetHostResponse)
    return answer


async def host_becomes(stub: Any, **counts: int) -> None:
    """Wait until GetHost says so; what a worker does is seen by the others a moment later."""

    async def seen() -> dict[str, int]:
        host = await host_of(stub)
        return {name: getattr(host, name) for name in counts}

    async with asyncio.timeout(PATIENCE):
        while await seen() != counts:
            pass


# --- one view -------------------------------------------------------------------------------------


async def test_connections_to_a_unix_socket_are_spread_evenly(tmp_path: Path) -> None:
    with crew(tmp_path) as two:
        async with shift(two.unix) as both:
            assert {two.worker_of(job) for job in both.jobs} == two.workers


async def test_the_bound_of_a_users_connections_is_for_all_workers_together() -> None:
    others = subordinate_uids()
    if not others:
        unavailable("this user has no subordinate ids")
    with open_directory() as place:
        rows = row("ours", f"uids = [{os.getuid()}, {others[0]}]")
        with crew(place, "--callers", str(written(place / "callers.toml", rows))) as two:
            path = two.unix.removeprefix("unix:")
            held = [await asyncio.open_unix_connection(path) for _ in range(2 * MAX_CONNECTIONS)]
            async with asyncio.timeout(PATIENCE):  # who is let in hears gRPC's first words
                heard = [await reader.read(1) for reader, _ in held]
            assert sum(map(bool, heard)) == MAX_CONNECTIONS
            for _, writer in held:
                writer.close()


async def test_each_client_has_a_connection_and_so_a_worker_of_its_own(tmp_path: Path) -> None:
    with crew(tmp_path) as two:
        async with Client(two.unix) as one, Client(two.unix) as other:
            jobs = []
            for client in (one, other):
                seconds = marker()
                call = asyncio.create_task(client.run(["sleep", seconds], limits=LONG))
                job = Sleeper(call, seconds)
                await eventually(job.lives)
                jobs.append(job)
            assert {two.worker_of(job) for job in jobs} == two.workers
            for job in jobs:
                await job.end()


async def test_connections_by_tcp_reach_every_worker(tmp_path: Path) -> None:
    with crew(tmp_path) as two:
        seen: set[int] = set()
        for _ in range(30):  # the kernel chooses by a hash: all to one would be a miracle
            async with connected(two.tcp) as stub:
                job = await sleeper(stub)
                seen.add(two.worker_of(job))
                await job.end()
            if seen == two.workers:
                break
        assert seen == two.workers


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_each_worker_tells_for_all(tmp_path: Path, kind: str) -> None:
    with crew(tmp_path, "--pool", "5") as two:
        address = getattr(two, kind)
        async with shift(two.unix) as both, connected(address) as third:
            for stub in (*both.stubs, third):
                await host_becomes(
                    stub,
                    worker_count=2,
                    processor_count=PROCESSORS,
                    slot_count=8,
                    running_job_count=2,
                    waiting_job_count=0,
                    pool_size=5,
                    ready_sandbox_count=5,
                )
            for job in both.jobs:
                await job.end()
            await host_becomes(third, running_job_count=0)


async def test_jobs_that_wait_are_counted_too(tmp_path: Path) -> None:
    with crew(tmp_path, "--slots", "2") as two:
        async with shift(two.unix) as both:
            waiting = [stub.Run(request("echo", "now")) for stub in both.stubs for _ in range(2)]
            await host_becomes(both.stubs[0], running_job_count=2, waiting_job_count=4)
            for job in both.jobs:
                await job.end()
            assert [(await call).stdout.data for call in waiting] == [b"now\n"] * 4


async def test_one_process_tells_of_itself_alone(tmp_path: Path) -> None:
    with daemon(tmp_path, "--slots", "3") as served:
        async with connected(served.unix) as stub:
            job = await sleeper(stub)
            await host_becomes(stub, worker_count=1, slot_count=3, running_job_count=1)
            await job.end()


async def test_two_workers_never_place_jobs_on_one_processor(tmp_path: Path) -> None:
    with crew(tmp_path) as two:
        async with shift(two.unix) as both:
            places = [
                os.sched_getaffinity(pid) for job in both.jobs for pid in sleepers(job.seconds)
            ]
            assert len(places) == 2
            assert not set.intersection(*places)


# --- workers come and go --------------------------------------------------------------------------


async def test_a_killed_worker_is_replaced_and_the_others_go_on(tmp_path: Path) -> None:
    with crew(tmp_path) as two:
        async with shift(two.unix) as both:
            before, victim = two.workers, two.worker_of(both.jobs[0])
            os.kill(victim, signal.SIGKILL)
            refused = await refusal(both.jobs[0].call)
            assert refused.code is grpc.StatusCode.UNAVAILABLE
            await eventually(lambda: not both.jobs[0].lives(), AT_ONCE)
            await host_becomes(both.stubs[1], worker_count=2, running_job_count=1)
            assert both.jobs[1].lives()
            assert two.workers & before == before - {victim}
            answer = await both.stubs[0].Run(request("true"))  # by a new connection
            assert answer.outcome.exited.exit_code == 0
            log = tmp_path / "log"
            await eventually(lambda: "worker 0 serves again" in log.read_text())
            await both.jobs[1].end()


async def test_a_worker_may_be_told_to_leave_alone(tmp_path: Path) -> None:
    with crew(tmp_path) as two:
        async with shift(two.unix) as both:
            before, leaver = two.workers, two.worker_of(both.jobs[0])
            os.kill(leaver, signal.SIGTERM)
            async with connected(two.unix) as third:  # which the others get
                assert (await third.Run(request("true"))).outcome.exited.exit_code == 0
                assert both.jobs[0].lives()
                await both.jobs[0].end()
                await eventually(lambda: len(two.workers - before) == 1)
                await host_becomes(third, worker_count=2)


async def test_a_killed_parent_takes_its_workers_along(tmp_path: Path) -> None:
    with crew(tmp_path) as two:
        async with shift(two.unix) as both:
            below = descendants(two.served.process.pid)
            two.served.process.kill()
            await eventually(lambda: not alive(below), 2 * AT_ONCE)
            assert not any(job.lives() for job in both.jobs)
    with crew(tmp_path) as next_one:  # the dead ones' sockets are in the way, and replaced
        async with connected(next_one.unix) as stub:
            assert (await stub.Run(request("true"))).outcome.exited.exit_code == 0


# --- leaving --------------------------------------------------------------------------------------


async def test_draining_lets_the_jobs_of_all_workers_end(tmp_path: Path) -> None:
    with crew(tmp_path) as two:
        async with connected(two.unix) as one, connected(two.unix) as other:
            seconds = "2." + marker()
            job = request("sh", "-c", f"sleep {seconds}; echo finished")
            calls = [one.Run(job), other.Run(job)]
            await eventually(lambda: len(sleepers(seconds)) == 2)
            two.served.signal()
            while await health_at(two.unix) != NOT_SERVING:
                pass
            for stub in (one, other):
                assert (await refusal(stub.Run(request("true")))).info.reason == "DRAINING"
            assert [(await call).stdout.data for call in calls] == [b"finished\n"] * 2
        assert await two.served.end() == 0
    assert os.listdir(tmp_path) == ["log"], "nothing is left behind"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_cuts_the_jobs_of_all_workers_short(
    tmp_path: Path, number: int
) -> None:
    with crew(tmp_path) as two:
        async with shift(two.unix) as both:
            two.served.signal(number)
            while await health_at(two.unix) != NOT_SERVING:
                pass
            assert all(job.lives() for job in both.jobs)
            two.served.signal(number)
            for job in both.jobs:
                assert (await refusal(job.call)).code is grpc.StatusCode.UNAVAILABLE
            await eventually(lambda: not any(job.lives() for job in both.jobs), AT_ONCE)
        assert await two.served.end() == 0


def test_a_terminal_signals_the_parent_alone(tmp_path: Path) -> None:
    with crew(tmp_path) as two:
        own = os.getpgid(two.served.process.pid)
        assert all(os.getpgid(worker) != own for worker in two.workers)


# --- as root --------------------------------------------------------------------------------------


def status_of(pid: int) -> dict[str, str]:
    """Give what the kernel says of a process, field by field."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def test_nobody_stays_root_so_a_lost_worker_ends_all_for_the_unit_to_restart(
    tmp_path: Path,
) -> None:
    if len(subordinate_uids()) < 2:
        unavailable("this user has no subordinate ids")
    # Root of a user namespace. A /tmp of its own has no locks of whoever has its user's number.
    own_tmp = ("--mount", "sh", "-c", 'mount -t tmpfs none /tmp && exec "$@"', "sh")
    options = ("127.0.0.1:0", "--cgroup", "none", *TWO)
    with serving(tmp_path, *NAMESPACE, *own_tmp, *SERVE, *options) as process:
        log = tmp_path / "log"
        await eventually(lambda: "serving on" in log.read_text() or process.poll() is not None)
        workers = children_of(process.pid)
        assert len(workers) == 2, log.read_text()
        for pid in (process.pid, *workers):
            status = status_of(pid)
            assert len(set(status["Uid"].split())) == 1
            assert int(status["Uid"].split()[0]) not in {os.getuid(), 0}
            assert (status["CapEff"], status["NoNewPrivs"]) == ("0" * 16, "1")
        os.kill(min(workers), signal.SIGKILL)
        assert await asyncio.to_thread(process.wait, PATIENCE) == 1
        assert "root was given up, so all leave" in log.read_text()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (("--slots", "1"), "only 1 slots"),
        (("--workers", str(PROCESSORS + 1), "--slots", "99"), f"only {PROCESSORS} processors"),
        (("--listen", "0.0.0.0:0"), "needs authentication"),
        (("--listen", "nowhere"), "neither unix:PATH nor HOST:PORT"),
    ],
)
def test_what_cannot_be_served_is_said_once(
    tmp_path: Path, options: tuple[str, ...], cause: str
) -> None:
    with pytest.raises(AssertionError, match=cause):
        crew(tmp_path, *options).__enter__()
    log = (tmp_path / "log").read_text()
    assert len(re.findall("^sandboxd: cannot ", log, re.MULTILINE)) == 1
    assert os.listdir(tmp_path) == ["log"]


def test_a_port_is_one_servers(tmp_path: Path) -> None:
    with crew(tmp_path) as two:
        (tmp_path / "x").mkdir()
        for options in (("--workers", "2", "--slots", "2"), ()):
            with pytest.raises(AssertionError, match=f"cannot listen on {two.tcp}"):
                daemon(tmp_path / "x", "--listen", two.tcp, *options).__enter__()


# --- who comes ------------------------------------------------------------------------------------


async def test_the_gate_of_each_worker_knows_its_users() -> None:
    others = subordinate_uids()
    if len(others) < 2:
        unavailable("this user has no subordinate ids")
    with open_directory() as place:
        callers = written(place / "callers.toml", row("first", f"uids = [{others[0]}]"))
        with crew(place, "--callers", str(callers)) as two:
            for _ in two.workers:
                assert await asyncio.to_thread(asked_as, 1, two.unix) == "hello"
                assert await asyncio.to_thread(asked_as, 2, two.unix) == "UNREACHABLE"
            inner = f"unix:{place}/.d.sock.d/0.sock"
            assert await asyncio.to_thread(asked_as, 1, inner) == "UNREACHABLE"


async def test_the_owner_needs_no_name(tmp_path: Path) -> None:
    callers = written(tmp_path / "callers.toml", row("ours", f"uids = [{os.getuid()}]"))
    with crew(tmp_path, "--callers", str(callers)) as two:
        async with connected(two.unix) as stub:
            assert (await stub.Run(request("true"))).outcome.exited.exit_code == 0


async def test_tls_and_callers_hold_in_every_worker_and_are_read_again(tmp_path: Path) -> None:
    authority = Authority.made(tmp_path / "a")
    files = authority.serve()
    callers = written(tmp_path / "callers.toml", row("first"))
    config = tmp_path / "sandboxd.toml"
    config.write_text(f'[tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n')
    trust = grpc.ssl_channel_credentials(authority.ca.cert_pem.bytes())
    unknown = (grpc.StatusCode.UNAUTHENTICATED, "WRONG_CREDENTIALS")
    with crew(tmp_path, "--config", str(config), "--callers", str(callers)) as two:

        async def codes(name: str) -> set[tuple[grpc.StatusCode, str]]:
            token = bearer(token_of(name))
            return {await code_of(two.tcp, GET_HOST, token, credentials=trust) for _ in range(16)}

        assert await codes("first") == {(grpc.StatusCode.OK, "")}
        assert await codes("second") == {unknown}
        written(callers, row("second"))
        two.served.signal(signal.SIGHUP)
        log = tmp_path / "log"
        await eventually(lambda: log.read_text().count("reloaded") == 2)
        assert await codes("first") == {unknown}
        assert await codes("second") == {(grpc.StatusCode.OK, "")}


# --- systemd --------------------------------------------------------------------------------------


async def test_workers_accept_from_systemds_socket_and_leave_it_to_the_next(
    tmp_path: Path,
) -> None:
    heard = Listener(tmp_path)
    address = f"unix:{tmp_path}/sandboxd.sock"
    with kept_socket(tmp_path) as kept:
        async with stub_of(address) as stub:
            calls = [stub.Run(request("echo", str(number))) for number in range(3)]
            await eventually(lambda: select.select([kept], [], [], 0)[0])  # one has come
            with activated(tmp_path, kept, *TWO, NOTIFY_SOCKET=heard.path) as first:
                assert f"STATUS=serving on {address}" in await asyncio.to_thread(
                    heard.hear_until, "READY=1"
                )
                assert [(await call).stdout.data for call in calls] == [b"0\n", b"1\n", b"2\n"]
                running = await sleeper(stub)
                first.send_signal(signal.SIGTERM)
                await asyncio.to_thread(heard.hear_until, "STOPPING=1")
                async with grpc.aio.insecure_channel(address, OWN) as channel:
                    next_one = pb_grpc.RunnerServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
                    waiting = next_one.Run(request("echo", "next"))
                    await eventually(lambda: select.select([kept], [], [], 0)[0])
                    await running.end()
                    assert await asyncio.to_thread(first.wait, PATIENCE) == 0
                    assert not waiting.done()
                    with activated(tmp_path, kept, *TWO):
                        assert (await waiting).stdout.data == b"next\n"
    heard.close()


def test_the_watchdog_hears_nothing_while_a_worker_stands_still(tmp_path: Path) -> None:
    heard = Listener(tmp_path)
    options = ("--listen", f"unix:{tmp_path}/s.sock", *TWO)
    environment = {"NOTIFY_SOCKET": heard.path, "WATCHDOG_USEC": "200000"}
    with serving(tmp_path, *SERVE[:-1], *options, **environment) as process:
        heard.hear_until("READY=1")
        for _ in range(3):
            heard.hear_until("WATCHDOG=1")
        worker = min(children_of(process.pid))
        os.kill(worker, signal.SIGSTOP)
        try:
            assert heard.falls_silent()
        finally:
            os.kill(worker, signal.SIGCONT)
        heard.hear_until("WATCHDOG=1")
        process.terminate()
        assert process.wait(PATIENCE) == 0
    heard.close()
