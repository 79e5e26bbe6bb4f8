"""Client and SyncClient: values in, typed endings out, one tree of exceptions, no gRPC."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from post import AT_ONCE, PATIENCE, daemon, eventually, marker, posted, sleepers

import sandboxd
from sandboxd import (
    Client,
    Exited,
    FileFault,
    InputFile,
    JobError,
    LimitExceeded,
    Limits,
    NotStarted,
    OutputPath,
    Signaled,
    SyncClient,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from post import Post

    Call = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.usefixtures("sandboxing_host")

LONG = Limits(wall_time=timedelta(minutes=10))


@pytest.fixture(params=["asyncio", "sync"])
async def run(request: pytest.FixtureRequest, post: Post) -> AsyncIterator[Call]:
    """Give `run` of either client, to be awaited."""
    if request.param == "asyncio":
        async with Client(post.unix) as client:
            yield client.run
        return
    with SyncClient(post.tcp) as client:

        async def in_thread(*arguments: Any, **fields: Any) -> Any:
            return await asyncio.to_thread(client.run, *arguments, **fields)

        yield in_thread


async def test_endings_are_typed(run: Call) -> None:
    small = Limits(memory_bytes=32 << 20)
    hog = ["python3", "-c", "x = b'x' * (200 << 20)"]
    assert (await run(["sh", "-c", "exit 137"])).ending == Exited(137)
    assert (await run(["sh", "-c", "kill -SEGV $$"])).ending == Signaled("SEGV")
    assert (await run(hog, limits=small)).ending == LimitExceeded("memory_bytes")
    missing = (await run(["no-such-program"])).ending
    assert isinstance(missing, NotStarted)
    assert missing.errno == "ENOENT"


async def test_durations_are_timedeltas_and_files_are_bytes(run: Call) -> None:
    result = await run(
        ["sh", "-c", "cat in; sleep 0.05; cp in out; ln -s in link"],
        files=(InputFile("in", b"\0\xff"),),
        outputs=(OutputPath("out"), OutputPath("link")),
        limits=Limits(wall_time=timedelta(seconds=20)),
    )
    assert result.stdout.data == b"\0\xff"
    assert timedelta(milliseconds=50) <= result.usage.wall_time < timedelta(seconds=20)
    out, link = result.files
    assert (out.content, out.fault) == (b"\0\xff", None)
    assert (link.content, link.fault) == (None, FileFault.LINK)


async def test_a_meaningless_job_is_a_job_error_with_the_fields_of_job(run: Call) -> None:
    with pytest.raises(JobError) as here:
        await run(["echo", "a\0"])
    with pytest.raises(JobError) as there:
        await run(["echo"], limits=Limits(memory_bytes=0))
    assert [violation.field for violation in here.value.violations] == ["argv[1]"]
    assert [violation.field for violation in there.value.violations] == ["limits.memory_bytes"]


async def test_one_string_is_no_argv(run: Call) -> None:
    with pytest.raises(JobError, match="list of strings"):
        await run("echo hi")


async def test_what_is_not_offered_is_a_precondition_error(run: Call) -> None:
    with pytest.raises(sandboxd.PreconditionError) as refused:
        await run(["true"], policy="no-such")
    assert refused.value.reason == "POLICY_UNKNOWN"
    assert "no-such" in refused.value.subject
    assert refused.value.remedy


async def test_a_timeout_is_a_timeout_error_and_kills_the_job(run: Call) -> None:
    seconds = marker()
    with pytest.raises(TimeoutError):
        await run(["sleep", seconds], limits=LONG, timeout=timedelta(seconds=0.5))
    await eventually(lambda: not sleepers(seconds), AT_ONCE)


async def test_a_full_queue_is_busy_with_a_time_to_retry(tmp_path: Path) -> None:
    seconds = marker()
    async with (
        posted(tmp_path, slot_count=1, queue_length=0) as post,
        Client(post.unix) as client,
    ):
        running = asyncio.create_task(client.run(["sleep", seconds], limits=LONG))
        await eventually(lambda: sleepers(seconds))
        with pytest.raises(sandboxd.Busy) as refused:
            await client.run(["true"])
        assert refused.value.retry_after > timedelta()
        running.cancel()
        await eventually(lambda: not sleepers(seconds), AT_ONCE)
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_draining_server_is_a_host_error(post: Post) -> None:
    seconds = marker()
    async with Client(post.unix) as client:
        running = asyncio.create_task(client.run(["sleep", seconds], limits=LONG))
        await eventually(lambda: sleepers(seconds))
        leaving = asyncio.create_task(post.server.drain())
        with pytest.raises(sandboxd.HostError) as refused:
            await client.run(["true"])
        assert refused.value.reason == "DRAINING"
        running.cancel()
        await asyncio.wait_for(leaving, PATIENCE)


async def test_leaving_a_client_kills_its_jobs(post: Post) -> None:
    seconds = marker()
    async with Client(post.unix) as client:
        running = asyncio.create_task(client.run(["sleep", seconds], limits=LONG))
        await eventually(lambda: sleepers(seconds))
    await eventually(lambda: not sleepers(seconds), AT_ONCE)
    with pytest.raises((sandboxd.SandboxdError, asyncio.CancelledError)):
        await running


async def test_nobody_at_the_address_is_unreachable(tmp_path: Path) -> None:
    for address in (f"unix:{tmp_path}/nobody.sock", "127.0.0.1:1"):
        async with Client(address) as client:
            with pytest.raises(sandboxd.HostError) as refused:
                await client.run(["true"])
        assert refused.value.reason == "UNREACHABLE"
        assert "sandboxd serve" in refused.value.remedy
        with SyncClient(address) as twin, pytest.raises(sandboxd.HostError) as refused:
            await asyncio.to_thread(twin.get_host)
        assert refused.value.reason == "UNREACHABLE"


async def test_a_server_that_dies_is_unreachable(tmp_path: Path) -> None:
    seconds = marker()
    with daemon(tmp_path) as served:
        async with Client(served.unix) as client:
            running = asyncio.create_task(client.run(["sleep", seconds], limits=LONG))
            await eventually(lambda: sleepers(seconds))
            served.process.kill()
            with pytest.raises(sandboxd.HostError) as refused:
                await running
            assert refused.value.reason == "UNREACHABLE"


async def test_both_clients_describe_the_same_host(post: Post) -> None:
    async with Client(post.unix) as client:
        there = await client.get_host()
    with SyncClient(post.tcp) as twin:
        assert await asyncio.to_thread(twin.get_host) == there
    assert there.slot_count == post.supervisor.host.slot_count
    assert there.defaults == post.supervisor.host.defaults
    assert there.networks == post.supervisor.host.networks


async def test_an_executable_above_grpcs_default_of_4_mib_travels_both_ways(run: Call) -> None:
    data = bytes(range(256)) * (9 << 12)
    result = await run(
        ["cp", "in", "out"], files=(InputFile("in", data),), outputs=(OutputPath("out"),)
    )
    assert result.files[0].content == data
