"""kill -9 while blobs come: what was acknowledged is there and right, and of the rest nothing is.

`SANDBOXD_TEST_ROUNDS=200 scripts/test.sh faults -- -k uploads` for more rounds.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from post import daemon
from test_kills import SEED
from uploader import STORE_BYTES

from sandboxd.client import Client, SyncClient
from sandboxd.errors import HostError
from sandboxd.model.blob import Digest
from sandboxd.store.blobs import BlobStore

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = int(os.environ.get("SANDBOXD_TEST_ROUNDS", "50"))
DAEMON_ROUNDS = max(1, ROUNDS // 10)
SCRIPT = Path(__file__).with_name("uploader.py")
OPENERS = Path(__file__).with_name("openers.py")
ROOT = SCRIPT.parent.parent.parent
TENANTS = ("one", "two")
WITHIN_SECONDS = 0.2
"""Of a writer's life, from when it is ready to the kill."""


def test_kill_9_of_two_writers_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - no secret
    directory = tmp_path / "blobs"
    known: set[tuple[str, str]] = set()
    for _ in range(ROUNDS):
        writers = [(tenant, begun(directory, tenant)) for tenant in TENANTS]
        fresh = set()
        for _, writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for tenant, writer in writers:
            digests = acknowledged_until_killed(writer, chance.uniform(0, WITHIN_SECONDS))
            fresh |= {(tenant, sha256) for sha256 in digests}
        known |= fresh
        check(directory, fresh)
    check(directory, known)
    assert len(known) >= ROUNDS, "else nothing was tried"


def begun(directory: Path, tenant: str) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, directory, tenant]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def acknowledged_until_killed(writer: subprocess.Popen[str], seconds: float) -> set[str]:
    """Let it write for a time, kill it, and give what it has acknowledged."""
    with writer, suppress(subprocess.TimeoutExpired):
        try:
            writer.wait(seconds)
        finally:
            writer.kill()
            assert writer.wait() == -signal.SIGKILL
            assert writer.stdout is not None
            lines = writer.stdout.read().split("\n")
    assert lines[-1] == ""
    return set(lines[:-1])


def check(directory: Path, acknowledged: set[tuple[str, str]]) -> None:
    """Read what was acknowledged, which the store compares with its digest; else nothing is there.

    An upload is also kept that was cut after it was on disk, and before anybody was told.
    """
    store = BlobStore(directory, max_bytes=STORE_BYTES)
    for tenant, sha256 in acknowledged:
        with store.hold(tenant, Digest(sha256)) as held:
            os.close(held.open())
    store.expire()
    with store.working() as shelf:
        assert shelf.ledger.leaving() == []
        held_by_any = shelf.ledger.files()
    assert set(os.listdir(directory / "content")) == held_by_any
    assert os.listdir(directory / "incoming") == os.listdir(directory / "damaged") == []
    store.close()


def test_any_number_of_processes_may_open_a_store_at_once_whoever_is_killed(tmp_path: Path) -> None:
    directory = tmp_path / "blobs"
    command = [sys.executable, OPENERS, directory, str(ROUNDS), "8", str(SEED)]
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    check(directory, set())


@pytest.mark.usefixtures("house")
async def test_kill_9_of_a_server_loses_no_upload_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - no secret
    options = ("--blobs", str(tmp_path / "blobs"))
    known: set[Digest] = set()
    for _ in range(DAEMON_ROUNDS):
        with daemon(tmp_path, *options) as server:
            sending = [asyncio.create_task(sent(server.unix, known.add)) for _ in range(3)]
            await asyncio.sleep(chance.uniform(0, 5 * WITHIN_SECONDS))  # the kill's own moment
            server.signal(signal.SIGKILL)
            await server.end()
            await asyncio.gather(*sending)
    with daemon(tmp_path, *options) as server, SyncClient(server.unix) as client:
        assert client.blobs.missing(known) == []
        for digest in known:
            assert sum(map(len, client.blobs.get(digest))) == digest.size_bytes
        listed = {stored.digest for stored in client.blobs.list()}
    assert known <= listed
    assert len(known) >= DAEMON_ROUNDS, "else nothing was tried"


async def sent(address: str, acknowledge: Callable[[Digest], None]) -> None:
    """Upload until the server is gone."""
    async with Client(address) as client:
        with suppress(HostError):
            while True:
                pieces = [os.urandom(10_000) for _ in range(random.randrange(30))]  # noqa: S311 - no secret
                acknowledge(await client.blobs.put(iter(pieces)))
