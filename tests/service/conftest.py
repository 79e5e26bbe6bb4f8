"""The service lane: a real server on a unix socket and on TCP, real clients, real sandboxes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from post import Post, posted, stub_of

from sandboxd.errors import HostError
from sandboxd.host import probe_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Any

REQUIRED = os.environ.get("SANDBOXD_REQUIRE_SANDBOX", "") not in {"", "0"}


def unavailable(reason: str) -> None:
    """Skip for a reason that the host gives, or fail where this lane must run."""
    if REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def sandboxing_host() -> None:
    """See to it that jobs can run here at all."""
    if os.geteuid() == 0:
        unavailable("this lane runs as an ordinary user: see scripts/as_test_user.py")
    try:
        probe_host()
    except HostError as error:
        unavailable(str(error))


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    """Give a server with the host's own number of slots."""
    async with posted(tmp_path) as post:
        yield post


@pytest.fixture
async def one_slot(tmp_path: Path) -> AsyncIterator[Post]:
    """Give a server that runs one job at a time and lets three wait."""
    async with posted(tmp_path, slot_count=1, queue_length=3) as post:
        yield post


@pytest.fixture
async def stub(post: Post) -> AsyncIterator[Any]:
    """Give the bare stub of a server."""
    async with stub_of(post.unix) as stub:
        yield stub
