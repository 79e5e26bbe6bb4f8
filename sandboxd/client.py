"""The client of a `sandboxd` server, for asyncio and for plain code.

Speaks in the values of `sandboxd.model` and raises the tree of `sandboxd.errors`; gRPC stays
inside. A program that fails or overruns a limit is a result, not an exception.
"""

# ruff: noqa: ASYNC109 - `timeout` is gRPC's deadline, which the server sees too

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

import grpc

from sandboxd.connection import (
    OPTIONS,
    Ended,
    Tls,
    credentials_of,
    error_of,
    metadata_for,
    seconds,
)
from sandboxd.errors import JobError, Violation
from sandboxd.model.job import InputFile, Job, Network, OutputPath, Terminal
from sandboxd.server import wire
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType

    from sandboxd.attached import Attached, SyncAttached
    from sandboxd.batches import BatchFields
    from sandboxd.blobs import Blobs, SyncBlobs
    from sandboxd.model.batch import Answer, Case
    from sandboxd.model.group import Group, GroupResult
    from sandboxd.model.limits import Limits
    from sandboxd.model.outcome import RunResult
    from sandboxd.sandboxes import Sandboxes, SyncSandboxes
    from sandboxd.stored_jobs import Jobs, SyncJobs

__all__ = ["Client", "JobFields", "SyncClient", "Tls"]


class JobFields(TypedDict, total=False):
    """What may be said of a job beside its arguments; see `sandboxd.model.job.Job`."""

    env: Mapping[str, str]
    working_directory: str
    stdin: bytes
    files: tuple[InputFile, ...]
    outputs: tuple[OutputPath, ...]
    limits: Limits
    policy: str
    root: str
    network: Network
    merge_stderr: bool
    terminal: Terminal
    require: tuple[str, ...]
    exclusive_cpus: bool
    secret_env: Mapping[str, str]


class Client:
    """Calls a server from asyncio: `async with Client("unix:/path") as client: ...`.

    Addresses are `unix:PATH` or `HOST:PORT`. Cancelling the task that awaits a call kills its job.
    """

    def __init__(self, address: str, *, token: str | None = None, tls: Tls | None = None) -> None:
        """Take the server's address, and what shows it who we are; nothing is connected yet.

        Raises:
            HostError: the token is none (TOKEN_INVALID), or would be sent in the clear beyond
                this machine (TOKEN_IN_CLEAR).

        """
        self._address = address
        self._tls = tls
        self._metadata = metadata_for(address, token, tls)

    async def __aenter__(self) -> Self:
        """Open the channel; the connection is made by the first call."""
        self.channel: Any = (
            grpc.aio.insecure_channel(self._address, options=OPTIONS)
            if self._tls is None
            else grpc.aio.secure_channel(self._address, credentials_of(self._tls), options=OPTIONS)
        )
        self._stub: Any = pb_grpc.RunnerServiceStub(self.channel)  # type: ignore[no-untyped-call]  # generated
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the channel; calls under way are cancelled, and so their jobs killed."""
        await self.channel.close(None)

    async def run(
        self, argv: Sequence[str], *, timeout: timedelta | None = None, **fields: Unpack[JobFields]
    ) -> RunResult:
        """Run one program to its end in a fresh sandbox; the keywords are the fields of `Job`.

        `timeout` bounds the whole call, queue included; the job is killed when it passes. Unset,
        the call waits as long as the job's own limits allow.

        Raises:
            JobError: the job is meaningless or above a ceiling; each field at fault is named.
            PreconditionError: the job wants what this host does not offer.
            Busy: the server's queue is full, or the caller's share is used up.
            UnauthenticatedError, ForbiddenError: the server does not know us, or lets us not.
            HostError: the server is not there (reason UNREACHABLE), draining, or cannot sandbox.
            StageError: building the sandbox failed.
            TimeoutError: `timeout` passed.

        """
        return await self.run_job(_job(argv, fields), timeout=timeout)

    async def run_job(self, job: Job, *, timeout: timedelta | None = None) -> RunResult:
        """Run a job that is made already; as `run` in all else."""
        response = await self.call(self._stub.Run, wire.from_job(job), timeout)
        return wire.from_response(response)

    async def run_group(self, group: Group, *, timeout: timedelta | None = None) -> GroupResult:
        """Run several programs at once, joined by pipes; see `sandboxd.model.group`.

        Raises:
            RequestError: naming every field at fault, by its path in RunGroupRequest.
            And as `run`.

        """
        from sandboxd.server import wire_group  # noqa: PLC0415 - who has none need not load it

        response = await self.call(self._stub.RunGroup, wire_group.from_group(group), timeout)
        return wire_group.to_result(response)

    async def get_host(self, *, timeout: timedelta | None = None) -> wire.HostDescription:
        """Ask what the server's host offers and enforces.

        Raises:
            HostError: the server is not there (reason UNREACHABLE).
            TimeoutError: `timeout` passed.

        """
        response = await self.call(self._stub.GetHost, pb.GetHostRequest(), timeout)
        return wire.from_host_response(response)

    @property
    def blobs(self) -> Blobs:
        """Our blobs there."""
        from sandboxd.blobs import Blobs  # noqa: PLC0415 - who has none need not load them

        return Blobs(self)

    @property
    def jobs(self) -> Jobs:
        """Our jobs there that outlive us."""
        from sandboxd.stored_jobs import Jobs  # noqa: PLC0415 - as blobs

        return Jobs(self)

    @property
    def sandboxes(self) -> Sandboxes:
        """Our sandboxes there that stay."""
        from sandboxd.sandboxes import Sandboxes  # noqa: PLC0415 - as blobs

        return Sandboxes(self)

    def attach(
        self, argv: Sequence[str], *, timeout: timedelta | None = None, **fields: Unpack[JobFields]
    ) -> Attached:
        """Run one program live: `async with client.attach(["cat"]) as program: ...`.

        The keywords are the fields of `Job`; with `terminal` it gets one instead of pipes. See
        `sandboxd.attached.Attached`; errors are those of `run`.
        """
        return self.attach_job(_job(argv, fields), timeout=timeout)

    def attach_job(self, job: Job, *, timeout: timedelta | None = None) -> Attached:
        """Run a job that is made already; as `attach` in all else."""
        from sandboxd.attached import Attached  # noqa: PLC0415 - who needs none need not load it

        first = pb.AttachRequest(job=wire.job_message(job))
        return Attached(self, self._stub.Attach, first, timeout)

    def run_batch(
        self,
        job: Job | Sequence[str],
        cases: Iterable[Case],
        *,
        timeout: timedelta | None = None,
        **how: Unpack[BatchFields],
    ) -> AsyncGenerator[tuple[int, Answer], None]:
        """Run one job over many cases: `async for index, answer in client.run_batch(...)`.

        Answers come as cases end, one for each: a `RunResult`, a `Fault` of the host, or `Skipped`.
        Who takes them slowly holds up the cases that follow; closing the iterator kills those that
        run. `timeout` bounds the whole call.

        Raises:
            As `run`; the fields of a case have their paths (`cases[3].limits.cpu_time`).

        """
        from sandboxd.batches import answers, batch_request  # noqa: PLC0415 - as blobs

        request = batch_request(_as_job(job), cases, how)
        return answers(self.receive(self._stub.RunBatch, request, timeout))

    def open(self, rpc: Any, timeout: timedelta | None, *requests: Any) -> Any:  # noqa: ANN401 - gRPC's call
        """Begin a call of any rpc, and give it as gRPC does; for this package."""
        return rpc(*requests, timeout=seconds(timeout), metadata=self._metadata)

    def error_of(self, error: grpc.aio.AioRpcError) -> Exception:
        """Give what is raised for an error of gRPC; for this package."""
        return error_of(error, self._address)

    async def call(self, rpc: Any, request: Any, timeout: timedelta | None) -> Any:  # noqa: ANN401 - any rpc
        """Call any rpc of one answer, `request` being a message or pieces; for this package."""
        try:
            return await rpc(request, timeout=seconds(timeout), metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise error_of(error, self._address) from None

    async def receive(
        self,
        rpc: Any,  # noqa: ANN401 - as above
        request: Any,  # noqa: ANN401 - the same
        timeout: timedelta | None,
    ) -> AsyncGenerator[Any, None]:
        """Call any rpc of many answers, and give them as they come; for this package."""
        call = rpc(request, timeout=seconds(timeout), metadata=self._metadata)
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise error_of(error, self._address) from None
        finally:
            call.cancel()


class SyncClient:
    """The synchronous twin of `Client`; may be shared by threads."""

    def __init__(self, address: str, *, token: str | None = None, tls: Tls | None = None) -> None:
        """Take the server's address, and what shows it who we are; as `Client`, errors too."""
        self._address = address
        self._tls = tls
        self._metadata = metadata_for(address, token, tls)

    def __enter__(self) -> Self:
        """Open the channel; the connection is made by the first call."""
        self.channel: Any = (
            grpc.insecure_channel(self._address, options=OPTIONS)
            if self._tls is None
            else grpc.secure_channel(self._address, credentials_of(self._tls), options=OPTIONS)
        )
        self._stub: Any = pb_grpc.RunnerServiceStub(self.channel)  # type: ignore[no-untyped-call]  # generated
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the channel; calls under way are cancelled, and so their jobs killed."""
        self.channel.close()

    def run(
        self, argv: Sequence[str], *, timeout: timedelta | None = None, **fields: Unpack[JobFields]
    ) -> RunResult:
        """Run one program to its end in a fresh sandbox; as `Client.run`, errors too."""
        return self.run_job(_job(argv, fields), timeout=timeout)

    def run_job(self, job: Job, *, timeout: timedelta | None = None) -> RunResult:
        """Run a job that is made already; as `run` in all else."""
        return wire.from_response(self.call(self._stub.Run, wire.from_job(job), timeout))

    def run_group(self, group: Group, *, timeout: timedelta | None = None) -> GroupResult:
        """Run several programs at once, joined by pipes; as `Client.run_group`, errors too."""
        from sandboxd.server import wire_group  # noqa: PLC0415 - who has none need not load it

        response = self.call(self._stub.RunGroup, wire_group.from_group(group), timeout)
        return wire_group.to_result(response)

    def get_host(self, *, timeout: timedelta | None = None) -> wire.HostDescription:
        """Ask what the server's host offers and enforces; as `Client.get_host`, errors too."""
        return wire.from_host_response(self.get_host_response(timeout=timeout))

    def get_host_response(self, *, timeout: timedelta | None = None) -> pb.GetHostResponse:
        """Ask the same, and give the message as it came."""
        response: pb.GetHostResponse = self.call(self._stub.GetHost, pb.GetHostRequest(), timeout)
        return response

    @property
    def blobs(self) -> SyncBlobs:
        """Our blobs there."""
        from sandboxd.blobs import SyncBlobs  # noqa: PLC0415 - who has none need not load them

        return SyncBlobs(self)

    @property
    def jobs(self) -> SyncJobs:
        """Our jobs there that outlive us."""
        from sandboxd.stored_jobs import SyncJobs  # noqa: PLC0415 - as blobs

        return SyncJobs(self)

    @property
    def sandboxes(self) -> SyncSandboxes:
        """Our sandboxes there that stay."""
        from sandboxd.sandboxes import SyncSandboxes  # noqa: PLC0415 - as blobs

        return SyncSandboxes(self)

    def attach(
        self, argv: Sequence[str], *, timeout: timedelta | None = None, **fields: Unpack[JobFields]
    ) -> SyncAttached:
        """Run one program live: `with client.attach(["cat"]) as p: ...`; as `Client.attach`."""
        return self.attach_job(_job(argv, fields), timeout=timeout)

    def attach_job(self, job: Job, *, timeout: timedelta | None = None) -> SyncAttached:
        """Run a job that is made already; as `attach` in all else."""
        from sandboxd.attached import SyncAttached  # noqa: PLC0415 - who needs none need not load it

        first = pb.AttachRequest(job=wire.job_message(job))
        return SyncAttached(self, self._stub.Attach, first, timeout)

    def run_batch(
        self,
        job: Job | Sequence[str],
        cases: Iterable[Case],
        *,
        timeout: timedelta | None = None,
        **how: Unpack[BatchFields],
    ) -> Generator[tuple[int, Answer], None, None]:
        """Run one job over many cases; as `Client.run_batch`, errors too."""
        from sandboxd.batches import batch_request, sync_answers  # noqa: PLC0415 - as blobs

        request = batch_request(_as_job(job), cases, how)
        return sync_answers(self.receive(self._stub.RunBatch, request, timeout))

    def open(self, rpc: Any, timeout: timedelta | None, *requests: Any) -> Any:  # noqa: ANN401 - gRPC's call
        """Begin a call of any rpc, and give it as gRPC does; for this package."""
        return rpc(*requests, timeout=seconds(timeout), metadata=self._metadata)

    def error_of(self, call: Ended) -> Exception:
        """Give what is raised for a call that ended with an error; for this package."""
        return error_of(call, self._address)

    def receive(
        self,
        rpc: Any,  # noqa: ANN401 - any rpc
        request: Any,  # noqa: ANN401 - the same
        timeout: timedelta | None,
    ) -> Generator[Any, None, None]:
        """Call any rpc of many answers, and give them as they come; for this package."""
        call = rpc(request, timeout=seconds(timeout), metadata=self._metadata)
        try:
            yield from call
        except grpc.RpcError:
            raise error_of(call, self._address) from None
        finally:
            call.cancel()

    def call(self, rpc: Any, request: Any, timeout: timedelta | None) -> Any:  # noqa: ANN401 - any rpc
        """Call any rpc of one answer, `request` being a message or pieces; for this package."""
        call = rpc.future(request, timeout=seconds(timeout), metadata=self._metadata)
        try:
            return call.result()
        except grpc.RpcError:
            raise error_of(call, self._address) from None
        except BaseException:  # the caller leaves, by Ctrl-C say: its job must not go on
            call.cancel()
            raise


def _job(argv: Sequence[str], fields: JobFields) -> Job:
    if isinstance(argv, str):  # also a sequence of strings, but never what is meant
        raise JobError(Violation("argv", "must be a list of strings, not one string"))
    return Job(argv=tuple(argv), **fields)


def _as_job(job: Job | Sequence[str]) -> Job:
    return job if isinstance(job, Job) else _job(job, {})
