"""The gate: several users of one unix socket, each known by what the kernel says of him."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from guards import code_of, row, subordinate_uids, written
from lane import unavailable
from post import PATIENCE, eventually, posted, sleeper, stub_of
from test_systemd import activated, kept_socket

from sandboxd.client import Client
from sandboxd.model.limits import Limits
from sandboxd.server.gate import MAX_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("sandboxing_host")

MIB = 1 << 20
ROOT = Path(__file__).parent.parent.parent
GET_HOST = "/sandboxd.v1.RunnerService/GetHost"
OK = (grpc.StatusCode.OK, "")
NAMESPACE = ("unshare", "--user", "--map-auto", "--map-root-user")
ASK = """
import sys
from sandboxd.client import SyncClient
from sandboxd.errors import SandboxdError
with SyncClient(sys.argv[1]) as client:
    try:
        print(client.run(["echo", "hello"]).stdout.data.decode().strip())
    except SandboxdError as error:
        print(error.reason)
"""


def asked_as(inner_uid: int, address: str) -> str:
    """Call a server as another user of this machine; as root of a user namespace, become him."""
    become = ["setpriv", "--reuid", str(inner_uid), "--clear-groups"]
    done = subprocess.run(
        [*NAMESPACE, *become, sys.executable, "-c", ASK, address],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        text=True,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def open_directory() -> Iterator[Path]:
    """Give a directory that other users may pass through."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def others() -> range:
    """Give uids beside our own that we can become: inside a user namespace they are 1, 2 ..."""
    found = subordinate_uids()
    if len(found) < 2:
        unavailable("this user has no subordinate ids")
    return found


async def test_the_gate_lets_in_the_users_of_the_file_and_nobody_else(others: range) -> None:
    rows = row("first", f"uids = [{others[0]}]"), row("ours", f"uids = [{os.getuid()}]")
    with open_directory() as place:
        async with posted(place, written(place / "callers.toml", *rows)) as post:
            assert stat.S_IMODE((place / "s.sock").stat().st_mode) == 0o666
            assert stat.S_IMODE((place / ".s.sock.d").stat().st_mode) == 0o700
            assert await asyncio.to_thread(asked_as, 1, post.unix) == "hello"
            assert await asyncio.to_thread(asked_as, 2, post.unix) == "UNREACHABLE"
            inner = f"unix:{place}/.s.sock.d/grpc.sock"
            assert await asyncio.to_thread(asked_as, 1, inner) == "UNREACHABLE"
            assert await code_of(post.unix, GET_HOST) == OK
        assert os.listdir(place) == ["callers.toml"], "nothing is left behind"


async def test_the_gate_carries_large_requests_and_answers(others: range) -> None:
    content = os.urandom(4 * MIB) * 8
    with open_directory() as place:
        rows = row("ours", f"uids = [{os.getuid()}, {others[0]}]")
        async with (
            posted(place, written(place / "callers.toml", rows)) as post,
            Client(post.unix) as client,
        ):
            limits = Limits(output_bytes=len(content), memory_bytes=256 * MIB)
            result = await client.run(["cat"], stdin=content, limits=limits)
            assert result.stdout.data == content


async def test_the_gate_bounds_the_connections_of_a_user(others: range) -> None:
    with open_directory() as place:
        rows = row("ours", f"uids = [{os.getuid()}, {others[0]}]")
        async with posted(place, written(place / "callers.toml", rows)) as post:
            path = post.unix.removeprefix("unix:")
            held = [await asyncio.open_unix_connection(path) for _ in range(MAX_CONNECTIONS)]
            over, writer = await asyncio.open_unix_connection(path)
            assert await asyncio.wait_for(over.read(), PATIENCE) == b"", "closed at once"
            writer.close()
            for _, inside in held:
                inside.close()
            async with Client(post.unix) as client:
                assert (await client.get_host()).version


async def test_a_job_ends_with_its_call_through_the_gate(others: range) -> None:
    with open_directory() as place:
        rows = row("ours", f"uids = [{os.getuid()}, {others[0]}]")
        async with (
            posted(place, written(place / "callers.toml", rows)) as post,
            stub_of(post.unix) as stub,
        ):
            job = await sleeper(stub)
            await job.end()


async def test_after_a_crash_the_gate_stands_again_behind_systemds_socket_too(
    others: range,
) -> None:
    with open_directory() as place, kept_socket(place) as kept:
        callers = written(place / "callers.toml", row("first", f"uids = [{others[0]}]"))
        for _ in range(2):
            with activated(place, kept, "--callers", str(callers)) as process:
                await eventually((place / "serving.sock").exists)
                await eventually(lambda: "serving on" in (place / "log").read_text())
                address = f"unix:{place}/sandboxd.sock"
                assert await asyncio.to_thread(asked_as, 1, address) == "hello"
                assert await asyncio.to_thread(asked_as, 2, address) == "UNREACHABLE"
                process.kill()
                await asyncio.to_thread(process.wait, PATIENCE)
                (place / "log").unlink()
