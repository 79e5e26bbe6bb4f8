"""Shares: what one caller may hold at once, and what the others then still get."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from guards import bearer, row, token_of, written
from post import eventually, posted, refusal, request, sleep_request, stub_of

from sandboxd.client import Client
from sandboxd.errors import Busy, JobError
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("sandboxing_host")

Code = grpc.StatusCode
MIB = 1 << 20


async def test_a_caller_waits_beyond_its_share_while_others_run(tmp_path: Path) -> None:
    share = ("[caller.share]", "slots = 1", "queue_places = 1")
    callers = written(tmp_path / "callers.toml", row("small", *share), row("other"))
    async with posted(tmp_path, callers, slot_count=3) as post, stub_of(post.tcp) as stub:
        small = bearer(token_of("small"))
        first = stub.Run(sleep_request("1001"), metadata=small)
        await eventually(lambda: post.server.admission.held_count == 1)
        second = stub.Run(sleep_request("1002"), metadata=small)
        await eventually(lambda: post.server.admission.waiting_count == 1)
        refused = await refusal(stub.Run(request("true"), metadata=small))
        assert (refused.code, refused.info.reason) == (Code.RESOURCE_EXHAUSTED, "SHARE_EXHAUSTED")
        assert refused.detail(RetryInfo).retry_delay.ToTimedelta() > timedelta()
        async with Client(post.tcp, token=token_of("small")) as client:
            with pytest.raises(Busy) as caught:
                await client.run(["true"])
            assert caught.value.reason == "SHARE_EXHAUSTED"
        answer = await stub.Run(request("true"), metadata=bearer(token_of("other")))
        assert answer.outcome.exited.exit_code == 0
        first.cancel()
        await eventually(lambda: post.server.admission.waiting_count == 0)
        second.cancel()


async def test_memory_is_shared_by_the_limits_of_all_its_jobs(tmp_path: Path) -> None:
    share = ("[caller.share]", f"memory_bytes = {300 * MIB}")
    callers = written(tmp_path / "callers.toml", row("small", *share))
    async with (
        posted(tmp_path, callers, slot_count=3) as post,
        Client(post.tcp, token=token_of("small")) as client,
    ):
        with pytest.raises(JobError, match=r"limits.memory_bytes: must be at most 314572800"):
            await client.run(["true"], limits=Limits(memory_bytes=301 * MIB))
        large = Limits(memory_bytes=200 * MIB, wall_time=timedelta(minutes=10))
        first = asyncio.create_task(client.run(["sleep", "1001"], limits=large))
        await eventually(lambda: post.server.admission.held_count == 1)
        second = asyncio.create_task(client.run(["true"], limits=large))
        await eventually(lambda: post.server.admission.waiting_count == 1)
        first.cancel()
        assert (await second).ending == Exited(0)


async def test_a_cancelled_call_gives_its_share_back(tmp_path: Path) -> None:
    share = ("[caller.share]", "slots = 1", "queue_places = 0")
    callers = written(tmp_path / "callers.toml", row("small", *share))
    async with posted(tmp_path, callers, slot_count=3) as post, stub_of(post.tcp) as stub:
        for _ in range(3):
            running = stub.Run(sleep_request("1001"), metadata=bearer(token_of("small")))
            await eventually(lambda: post.server.admission.held_count == 1)
            running.cancel()
            await eventually(lambda: post.server.admission.held_count == 0)
