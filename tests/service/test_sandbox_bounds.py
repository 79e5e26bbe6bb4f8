"""SandboxService: what callers who send or take slowly may hold of the server's memory."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from post import refusal

from sandboxd.client import Client
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited
from sandboxd.v1 import runner_service_pb2 as runner_pb
from sandboxd.v1 import sandbox_service_pb2 as pb
from sandboxd.v1 import sandbox_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")

OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
FILE_BYTES = 50 * MIB
ROOMY = Limits(scratch_bytes=256 * MIB, file_size_bytes=64 * MIB, memory_bytes=512 * MIB)


async def test_read_files_resource_exhausted_while_answers_are_not_taken(post: Post) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(post.unix))
        sandbox = await stack.enter_async_context(await client.sandboxes.create(limits=ROOMY))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(post.unix, OPTIONS))
        made = await sandbox.run(["sh", "-c", f"head -c {FILE_BYTES} /dev/zero > big"])
        assert made.ending == Exited(0)
        wanted = pb.ReadFilesRequest(
            sandbox_id=sandbox.id, paths=[runner_pb.OutputPath(path="big", max_bytes=FILE_BYTES)]
        )
        stub: Any = pb_grpc.SandboxServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        untaken = [stub.ReadFiles(wanted) for _ in range(2)]
        for call in untaken:
            await call.initial_metadata()
        found = await refusal(stub.ReadFiles(wanted).read())
        assert found.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert found.info.reason == "STREAMS_EXHAUSTED"
        for call in untaken:
            call.cancel()
        async with asyncio.timeout(10):
            while isinstance(again := await answer_of(stub.ReadFiles(wanted)), Exception):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.05)
        assert len(again.file.content.data) == FILE_BYTES


async def answer_of(call: Any) -> Any:
    """Give the first answer, or the error in its place."""
    return (await asyncio.gather(call.read(), return_exceptions=True))[0]
