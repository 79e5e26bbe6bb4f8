"""WatchJob: whoever watches, from wherever, however often cut, gets the same bytes.

`SANDBOXD_TEST_ROUNDS=200 scripts/test.sh service -- -k job_watching` for more cuts.
"""

from __future__ import annotations

import asyncio
import os
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from jobs_kit import kept, over, shell, stub_of
from post import daemon
from test_blobs import FLAT_BYTES, peak_of

from sandboxd.client import Client
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited
from sandboxd.v1 import job_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from post import Post

    from sandboxd.stored_jobs import Piece

pytestmark = pytest.mark.usefixtures("sandboxing_host")

HUGE = Limits(output_bytes=64 << 20, cpu_time=timedelta(minutes=1))
CUTS = int(os.environ.get("SANDBOXD_TEST_ROUNDS", "20"))
SEED = int(os.environ.get("SANDBOXD_TEST_SEED", "20261124"))
LARGE = Limits(output_bytes=16 << 20)
MIXED = shell(
    "for i in $(seq 300); do echo out $i; echo err $i >&2; done;"
    " head -c 300000 /dev/urandom; head -c 200000 /dev/urandom >&2; echo last",
    limits=LARGE,
)


@pytest.fixture
async def job_post(tmp_path: Path) -> AsyncIterator[Post]:
    async with kept(tmp_path) as post:
        yield post


@pytest.fixture
async def client(job_post: Post) -> AsyncIterator[Client]:
    async with Client(job_post.unix) as client:
        yield client


async def watched(client: Client, job_id: str, position: int = 0) -> list[Piece]:
    return [piece async for piece in client.jobs.watch(job_id, position=position)]


def streams_of(pieces: list[Piece]) -> tuple[bytes, bytes]:
    """Put each stream together, and see that nothing of it is missing."""
    found = [b"", b""]
    for piece in pieces:
        assert piece.offset == len(found[piece.stream - 1])
        found[piece.stream - 1] += piece.data
    return found[0], found[1]


def everything(pieces: list[Piece]) -> bytes:
    return b"".join(piece.data for piece in pieces)


async def test_who_follows_and_who_comes_late_get_the_same(client: Client) -> None:
    started = await client.jobs.start(MIXED)
    followed, also = await asyncio.gather(watched(client, started.id), watched(client, started.id))
    late = await watched(client, started.id)
    result = await client.jobs.result(started.id)
    assert result is not None
    assert result.ending == Exited(0)
    for pieces in (followed, also, late):
        assert streams_of(pieces) == (result.stdout.data, result.stderr.data)
        assert everything(pieces) == everything(late)
        times = [piece.time for piece in pieces]
        assert times == sorted(times)
        assert timedelta() <= times[0] <= times[-1] <= result.usage.wall_time + timedelta(seconds=1)
    assert result.stdout.total_bytes == len(result.stdout.data)


async def test_any_position_is_a_place_to_begin(client: Client) -> None:
    job = await over(client, (await client.jobs.start(MIXED)).id)
    whole = await watched(client, job.id)
    bytes_ = everything(whole)
    assert len(bytes_) == job.output_bytes
    chance = random.Random(SEED)  # noqa: S311 - no secret
    for position in (0, 1, len(bytes_) - 1, len(bytes_), *chance.sample(range(len(bytes_)), 20)):
        part = await watched(client, job.id, position)
        assert everything(part) == bytes_[position:]
        if part:
            first = part[0]
            assert first.position == position
            holder = next(p for p in reversed(whole) if p.position <= position)
            assert (first.stream, first.time) == (holder.stream, holder.time)
            assert first.offset - holder.offset == position - holder.position


async def test_a_cut_connection_loses_nothing(job_post: Post, client: Client) -> None:
    print(f"seed {SEED}")  # noqa: T201 - what a failure is repeated with
    chance = random.Random(SEED)  # noqa: S311 - no secret
    job = await over(client, (await client.jobs.start(MIXED)).id)
    original = everything(await watched(client, job.id))
    for _ in range(CUTS):
        cut, got = chance.randrange(len(original)), b""
        async with stub_of(job_post.unix) as stub:
            call = stub.WatchJob(pb.WatchJobRequest(id=job.id))
            while len(got) <= cut:
                got += (await call.read()).output.data
            call.cancel()
        rest = await watched(client, job.id, cut)
        assert got[:cut] + everything(rest) == original


async def test_a_socket_that_breaks_at_any_byte_is_gone_on_with(job_post: Post) -> None:
    """The client's own resuming, over a line that is cut in the middle of its messages."""
    chance = random.Random(SEED)  # noqa: S311 - no secret
    async with Client(job_post.tcp) as client:
        job = await over(client, (await client.jobs.start(MIXED)).id)
        original = everything(await watched(client, job.id))
    cuts = [chance.randrange(len(original) // 3) for _ in range(CUTS)]
    async with cutting_line(job_post.tcp, cuts) as (address, made):
        async with Client(address) as through:
            while cuts:
                assert everything(await watched(through, job.id)) == original
        assert len(made) >= CUTS


async def test_the_output_of_a_running_job_comes_at_once(client: Client) -> None:
    script = "echo ready; while [ ! -e go ]; do sleep 0.01; done; echo done"
    started = await client.jobs.start(shell(f"(sleep 0.3; touch go) & {script}"))
    pieces = client.jobs.watch(started.id)
    assert (await anext(pieces)).data == b"ready\n"
    assert (await client.jobs.get(started.id)).output_bytes == len(b"ready\n")
    assert [piece.data async for piece in pieces] == [b"done\n"]


async def test_a_watcher_that_stalls_slows_nobody(job_post: Post, client: Client) -> None:
    flood = shell("head -c 8000000 /dev/zero; echo done", limits=LARGE)
    started = await client.jobs.start(flood)
    async with stub_of(job_post.unix) as stub:
        stalled = stub.WatchJob(pb.WatchJobRequest(id=started.id))
        await stalled.read()
        got = await watched(client, started.id)
        assert len(everything(got)) == 8_000_005
        stalled.cancel()


async def test_output_and_its_watchers_cost_little_memory(tmp_path: Path) -> None:
    options = ("--jobs", str(tmp_path / "jobs"))
    flood = shell("head -c 60000000 /dev/zero; echo done", limits=HUGE)
    with daemon(tmp_path, *options) as server:
        async with Client(server.unix) as client, stub_of(server.unix) as stub:
            await over(client, (await client.jobs.start(shell("true"))).id)
            before = peak_of(server.process.pid)
            started = await client.jobs.start(flood)
            stalled = [stub.WatchJob(pb.WatchJobRequest(id=started.id)) for _ in range(8)]
            for call in stalled:
                await call.read()
            assert len(everything(await watched(client, started.id))) == 60_000_005
            assert peak_of(server.process.pid) - before <= FLAT_BYTES
            for call in stalled:
                call.cancel()


def test_what_is_torn_at_the_end_was_never_there(tmp_path: Path) -> None:
    from sandboxd.jobs.output import ROW, Output  # noqa: PLC0415 - only here
    from sandboxd.jobs.output import Piece as OnDisk  # noqa: PLC0415 - the same

    output = Output(tmp_path)
    assert (output.size_bytes, output.read(0), output.streams()) == (0, [], (b"", b""))
    output.append([OnDisk(0, 1, 0, 5, b"one"), OnDisk(3, 2, 0, 6, b"two")])
    with (tmp_path / "output").open("ab") as file:
        file.write(b"three, of which the row was cut")
    with (tmp_path / "pieces").open("ab") as file:
        file.write(bytes(ROW.size - 1))
    assert (output.size_bytes, output.streams()) == (6, (b"one", b"two"))
    assert output.read(4) == [OnDisk(4, 2, 1, 6, b"wo")]
    assert output.read(6) == []


# --- a line that breaks ---------------------------------------------------------------------------


class cutting_line:  # noqa: N801 - used as a function
    """Carries bytes to an address, and cuts each connection after so many of its answers."""

    def __init__(self, address: str, cuts: list[int]) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._cuts = cuts
        self.made: list[int] = []

    async def __aenter__(self) -> tuple[str, list[int]]:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{port}", self.made

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self._cuts.pop() if self._cuts else 1 << 60
        self.made.append(left)
        theirs, ours = await asyncio.open_connection(self._host, self._port)
        ways = [
            asyncio.create_task(self._pass(reader, ours, 1 << 60)),
            asyncio.create_task(self._pass(theirs, writer, left)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, ours):
            end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int
    ) -> None:
        while left > 0 and (data := await reader.read(min(left, 65536))):
            writer.write(data)
            await writer.drain()
            left -= len(data)
