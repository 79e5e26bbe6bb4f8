"""The service lane: real servers with real supervisors and sandboxes, real clients.

In processes of their own (`server`, `start_server`), or in the test's loop, where a test can see
into the queue (`post`, `one_slot`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lane import unavailable
from post import Post, posted, stub_of

from sandboxd.errors import HostError
from sandboxd.host import probe_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any

    from sandboxd.store.blobs import BlobStore

SCRIPT = Path(__file__).with_name("server_process.py")
ROOT = SCRIPT.parent.parent.parent
PATIENCE_SECONDS = 60


@dataclass
class Running:
    """A server that runs: where it listens, and its process."""

    process: subprocess.Popen[str]
    unix: str
    tcp: str

    @property
    def socket_path(self) -> Path:
        """The file behind its unix address."""
        return Path(self.unix.removeprefix("unix:"))

    def ended(self) -> tuple[int, str]:
        """Wait for its end; give the exit code and what it wrote to its log."""
        _, log = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, log


StartServer = "Callable[..., AbstractContextManager[Running]]"


@contextmanager
def started(*options: str, directory: Path | None = None) -> Iterator[Running]:
    """Start a server with these options, stop it at the end."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)  # a server started as root becomes somebody else
        unix = f"unix:{directory or Path(place) / 'run'}/sandboxd.sock"
        command = [sys.executable, SCRIPT, "--listen", unix, "--listen", "127.0.0.1:0", *options]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                pytest.fail(f"the server did not start: {process.communicate()[1]}")
            try:
                yield Running(process, *json.loads(line))
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """One server for all tests that leave it as it was."""
    with started() as running:
        yield running


@pytest.fixture
def start_server() -> Callable[..., AbstractContextManager[Running]]:
    """Give what starts a server of the test's own."""
    return started


@pytest.fixture(params=["unix", "tcp"])
def address(server: Running, request: pytest.FixtureRequest) -> str:
    """Each kind of address in turn."""
    return str(getattr(server, request.param))


# --- servers in the test's own loop ---------------------------------------------------------------


@pytest.fixture(scope="session")
def sandboxing_host() -> None:
    """See to it that jobs can run here at all, by this very user."""
    if os.geteuid() == 0:
        unavailable("this process must be an ordinary user's: see scripts/as_test_user.py")
    try:
        probe_host()
    except HostError as error:
        unavailable(str(error))


@pytest.fixture
async def post(sandboxing_host: None, tmp_path: Path) -> AsyncIterator[Post]:  # noqa: ARG001
    """Give a server with the host's own number of slots."""
    async with posted(tmp_path) as post:
        yield post


@pytest.fixture
async def one_slot(sandboxing_host: None, tmp_path: Path) -> AsyncIterator[Post]:  # noqa: ARG001
    """Give a server that runs one job at a time and lets three wait."""
    async with posted(tmp_path, slot_count=1, queue_length=3) as post:
        yield post


@pytest.fixture
async def stub(post: Post) -> AsyncIterator[Any]:
    """Give the bare stub of a server."""
    async with stub_of(post.unix) as stub:
        yield stub


@pytest.fixture
async def blob_post(tmp_path: Path, store: BlobStore) -> AsyncIterator[Post]:
    """Give a server that keeps blobs in a test's own `store`, for whoever may open its socket."""
    async with posted(tmp_path, blobs=store) as post:
        yield post
