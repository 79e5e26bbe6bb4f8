"""Sandboxes that stay, as a client uses them: `client.sandboxes.create(...)`.

For asyncio and for plain code. A sandbox is a context, at whose end it is deleted; what is asked of
it is checked as a job's is.
"""

# ruff: noqa: ASYNC109 - `timeout` is gRPC's deadline, which the server sees too

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Self, Unpack

from sandboxd import sandbox_messages as words
from sandboxd.attached import Attached, SyncAttached
from sandboxd.errors import NotFoundError
from sandboxd.model.limits import MIB
from sandboxd.model.outcome import Captured
from sandboxd.v1 import sandbox_service_pb2 as pb
from sandboxd.v1 import sandbox_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType

    from sandboxd.model.job import InputFile, OutputPath
    from sandboxd.model.lasting import SandboxInfo
    from sandboxd.model.outcome import OutputFile, RunResult
    from sandboxd.sandbox_messages import CreateFields, ProgramFields

KEPT_BYTES = 1 * MIB
"""Of each stream of a program, where its output is kept and nothing else is said."""


class Caller(Protocol):
    """What a client does for its sandboxes: calls, with its credentials and its errors."""

    channel: Any

    def open(self, rpc: Any, timeout: timedelta | None, *requests: Any) -> Any:  # noqa: ANN401 - any rpc
        """Begin a call of two streams."""

    def error_of(self, error: Any) -> Exception:  # noqa: ANN401 - gRPC's error
        """Give what is raised for an error of gRPC."""

    def call(self, rpc: Any, request: Any, timeout: timedelta | None) -> Any:  # noqa: ANN401 - any rpc
        """Give the one answer."""

    def receive(self, rpc: Any, request: Any, timeout: timedelta | None) -> Any:  # noqa: ANN401 - any rpc
        """Give the answers as they come."""


class Sandboxes:
    """Our sandboxes on the server of a `Client`."""

    def __init__(self, client: Caller) -> None:
        """Take the client, which must be entered."""
        self._client = client
        self._stub = _stub(client)

    async def create(
        self, *, timeout: timedelta | None = None, **fields: Unpack[CreateFields]
    ) -> Sandbox:
        """Make a sandbox: `async with await client.sandboxes.create() as sandbox: ...`.

        It lives until it is deleted, its `life_time` is over, or nobody has asked for it for its
        `idle_time`; or until its server ends.

        Raises:
            Busy: there are as many as may be, of all or of ours.
            And as `Client.run`.

        """
        answer = await self._client.call(self._stub.CreateSandbox, words.create(fields), timeout)
        return self.at(answer.sandbox.id)

    def at(self, sandbox_id: str) -> Sandbox:
        """Give the sandbox of this id; whether there is one turns out when it is used."""
        return Sandbox(self._client, sandbox_id)

    async def list(
        self, labels: Mapping[str, str] | None = None, *, timeout: timedelta | None = None
    ) -> list[SandboxInfo]:
        """Tell of all our sandboxes there with these labels, the oldest first."""
        answer = await self._client.call(self._stub.ListSandboxes, words.listing(labels), timeout)
        return [words.to_info(message) for message in answer.sandboxes]


class Sandbox:
    """One sandbox of ours; an async context, at whose end it is deleted.

    Every method raises NotFoundError once it is no more, and else as `Client.run`.
    """

    def __init__(self, client: Caller, sandbox_id: str) -> None:
        """Take the client, which must be entered."""
        self.id = sandbox_id
        self._client = client
        self._stub = _stub(client)

    async def __aenter__(self) -> Self:
        """Do nothing: it is there."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Delete it, if it still is there."""
        with suppress(NotFoundError):
            await self.delete()

    async def info(self, *, timeout: timedelta | None = None) -> SandboxInfo:
        """Tell how it is, and what it uses now."""
        return words.info(await self._ask(self._stub.GetSandbox, pb.GetSandboxRequest, timeout))

    async def delete(self, *, timeout: timedelta | None = None) -> None:
        """End it and all that runs in it; when this returns nothing of it is left."""
        await self._ask(self._stub.DeleteSandbox, pb.DeleteSandboxRequest, timeout)

    async def pause(self, *, timeout: timedelta | None = None) -> SandboxInfo:
        """Stop all its processes where they are; its own time goes on."""
        return words.info(await self._ask(self._stub.PauseSandbox, pb.PauseSandboxRequest, timeout))

    async def resume(self, *, timeout: timedelta | None = None) -> SandboxInfo:
        """Let them go on."""
        return words.info(
            await self._ask(self._stub.ResumeSandbox, pb.ResumeSandboxRequest, timeout)
        )

    def exec(
        self,
        argv: Sequence[str],
        *,
        timeout: timedelta | None = None,
        **fields: Unpack[ProgramFields],
    ) -> Attached:
        """Run a program in it, live: `async with sandbox.exec(["python3", "-i"]) as program: ...`.

        What it started in the background stays when it has ended; leaving the context before kills
        it with its whole session. See `sandboxd.attached.Attached`.

        Raises:
            JobError: the program is meaningless; each field at fault is named.
            PreconditionError: the sandbox is paused.
            Busy: too many programs run there.

        """
        return Attached(
            self._client, self._stub.Exec, words.program(self.id, argv, fields), timeout
        )

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout: timedelta | None = None,
        **fields: Unpack[ProgramFields],
    ) -> RunResult:
        """Run a program in it to its end, without input; its output is in the result.

        Of each stream it has `output_bytes`, 1 MiB if unset.

        Raises:
            As `exec`.

        """
        kept = Kept()
        async with self.exec(argv, timeout=timeout, **_without_input(fields)) as program:
            async for output in program:
                kept.take(output.stream, output.data)
            return kept.joined_to(await program.result())

    async def write_files(self, *files: InputFile, timeout: timedelta | None = None) -> None:
        """Write files into it, each whole or not at all, in place of what is there.

        Raises:
            JobError: a path leads elsewhere, or they are more than 1024 or have more than 64 MiB.
            PreconditionError: one cannot be written there, or the sandbox is paused.

        """
        request = words.writing(self.id, files)
        await self._client.call(self._stub.WriteFiles, request, timeout)

    async def read_files(
        self, *paths: OutputPath | str, timeout: timedelta | None = None
    ) -> AsyncGenerator[OutputFile, None]:
        """Give files below its /workspace, globs too: `async for file in sandbox.read_files("*")`.

        Raises:
            JobError: a path leads elsewhere.
            PreconditionError: the sandbox is paused.

        """
        request = words.reading(self.id, paths)
        async for answer in self._client.receive(self._stub.ReadFiles, request, timeout):
            yield words.file(answer)

    async def _ask(self, rpc: Any, kind: type[Any], timeout: timedelta | None) -> Any:  # noqa: ANN401 - any rpc about one
        request = kind(id=words.sendable("id", self.id))
        return await self._client.call(rpc, request, timeout)


class SyncSandboxes:
    """The synchronous twin of `Sandboxes`; may be shared by threads. Errors are the same."""

    def __init__(self, client: Caller) -> None:
        """Take the client, which must be entered."""
        self._client = client
        self._stub = _stub(client)

    def create(
        self, *, timeout: timedelta | None = None, **fields: Unpack[CreateFields]
    ) -> SyncSandbox:
        """Make a sandbox: `with client.sandboxes.create() as sandbox: ...`."""
        answer = self._client.call(self._stub.CreateSandbox, words.create(fields), timeout)
        return self.at(answer.sandbox.id)

    def at(self, sandbox_id: str) -> SyncSandbox:
        """Give the sandbox of this id; as `Sandboxes.at`."""
        return SyncSandbox(self._client, sandbox_id)

    def list(
        self, labels: Mapping[str, str] | None = None, *, timeout: timedelta | None = None
    ) -> list[SandboxInfo]:
        """Tell of all our sandboxes there with these labels, the oldest first."""
        return [words.to_info(message) for message in self.messages(labels, timeout=timeout)]

    def messages(
        self, labels: Mapping[str, str] | None = None, *, timeout: timedelta | None = None
    ) -> Sequence[pb.Sandbox]:
        """Give the same as messages, as they came."""
        answer: pb.ListSandboxesResponse = self._client.call(
            self._stub.ListSandboxes, words.listing(labels), timeout
        )
        return answer.sandboxes


class SyncSandbox:
    """The synchronous twin of `Sandbox`; may be shared by threads. Errors are the same."""

    def __init__(self, client: Caller, sandbox_id: str) -> None:
        """Take the client, which must be entered."""
        self.id = sandbox_id
        self._client = client
        self._stub = _stub(client)

    def __enter__(self) -> Self:
        """Do nothing: it is there."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Delete it, if it still is there."""
        with suppress(NotFoundError):
            self.delete()

    def info(self, *, timeout: timedelta | None = None) -> SandboxInfo:
        """Tell how it is, and what it uses now."""
        return words.to_info(self.message(timeout=timeout))

    def message(self, *, timeout: timedelta | None = None) -> pb.Sandbox:
        """Ask the same, and give the message as it came."""
        answer: pb.GetSandboxResponse = self._ask(
            self._stub.GetSandbox, pb.GetSandboxRequest, timeout
        )
        return answer.sandbox

    def delete(self, *, timeout: timedelta | None = None) -> None:
        """End it and all that runs in it; as `Sandbox.delete`."""
        self._ask(self._stub.DeleteSandbox, pb.DeleteSandboxRequest, timeout)

    def pause(self, *, timeout: timedelta | None = None) -> SandboxInfo:
        """Stop all its processes where they are; its own time goes on."""
        return words.info(self._ask(self._stub.PauseSandbox, pb.PauseSandboxRequest, timeout))

    def resume(self, *, timeout: timedelta | None = None) -> SandboxInfo:
        """Let them go on."""
        return words.info(self._ask(self._stub.ResumeSandbox, pb.ResumeSandboxRequest, timeout))

    def exec(
        self,
        argv: Sequence[str],
        *,
        timeout: timedelta | None = None,
        **fields: Unpack[ProgramFields],
    ) -> SyncAttached:
        """Run a program in it, live: `with sandbox.exec(["cat"]) as program: ...`."""
        return SyncAttached(
            self._client, self._stub.Exec, words.program(self.id, argv, fields), timeout
        )

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: timedelta | None = None,
        **fields: Unpack[ProgramFields],
    ) -> RunResult:
        """Run a program in it to its end, without input; as `Sandbox.run`."""
        kept = Kept()
        with self.exec(argv, timeout=timeout, **_without_input(fields)) as program:
            for output in program:
                kept.take(output.stream, output.data)
            return kept.joined_to(program.result())

    def write_files(self, *files: InputFile, timeout: timedelta | None = None) -> None:
        """Write files into it, each whole or not at all; as `Sandbox.write_files`."""
        self._client.call(self._stub.WriteFiles, words.writing(self.id, files), timeout)

    def read_files(
        self, *paths: OutputPath | str, timeout: timedelta | None = None
    ) -> Generator[OutputFile, None, None]:
        """Give files below its /workspace, globs too; as `Sandbox.read_files`."""
        for answer in self._client.receive(
            self._stub.ReadFiles, words.reading(self.id, paths), timeout
        ):
            yield words.file(answer)

    def _ask(self, rpc: Any, kind: type[Any], timeout: timedelta | None) -> Any:  # noqa: ANN401 - any rpc about one
        request = kind(id=words.sendable("id", self.id))
        return self._client.call(rpc, request, timeout)


class Kept:
    """What is kept of a live program's output."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._data = (bytearray(), bytearray())

    def take(self, stream: int, data: bytes) -> None:
        """Keep a piece."""
        self._data[stream - 1].extend(data)

    def joined_to(self, result: RunResult) -> RunResult:
        """Give the result with what was kept."""
        out, err = (
            Captured(bytes(data), stream.total_bytes, len(data) < stream.total_bytes)
            for data, stream in zip(self._data, (result.stdout, result.stderr), strict=True)
        )
        return replace(result, stdout=out, stderr=err)


def _without_input(fields: ProgramFields) -> ProgramFields:
    return {"output_bytes": KEPT_BYTES, **fields, "no_stdin": True}


def _stub(client: Caller) -> Any:  # noqa: ANN401 - gRPC's stub
    return pb_grpc.SandboxServiceStub(client.channel)  # type: ignore[no-untyped-call]  # generated
