"""Jobs that outlive their caller, as a client uses them: `client.jobs.start(...)`.

For asyncio and for plain code. `watch` goes on where a cut connection left it, as often as need be,
for as long as its caller wishes.
"""

# ruff: noqa: ASYNC109 - `timeout` is gRPC's deadline, which the server sees too

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypedDict, Unpack

from sandboxd.errors import HostError
from sandboxd.server import wire, wire_jobs
from sandboxd.v1 import job_service_pb2 as pb
from sandboxd.v1 import job_service_pb2_grpc as pb_grpc
from sandboxd.v1 import runner_service_pb2 as runner_pb

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Generator,
        Iterable,
        Iterator,
        Mapping,
    )

    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult
    from sandboxd.model.stored import JobState, StoredJob, Webhook

GRACE = timedelta(seconds=10)
PATIENCE = timedelta(seconds=30)
"""How long `watch` tries to reach the server again."""
PAUSE_SECONDS = 0.2
CUT = {"UNREACHABLE", "DRAINING"}
"""Reasons for which the same call may succeed a moment later."""


class Piece(NamedTuple):
    """A piece of what a job wrote."""

    stream: int
    """1 or 2: stdout or stderr."""
    offset: int
    """How many bytes of this stream came before."""
    time: timedelta
    """When it was read, since the program's exec."""
    data: bytes
    position: int
    """How many bytes of both streams came before: to watch on from `position + len(data)`."""


class StartFields(TypedDict, total=False):
    """What may be said of a job that is to be kept; see `StartJobRequest`."""

    request_id: str
    priority: int
    keep_time: timedelta
    webhook: Webhook
    labels: Mapping[str, str]


class Caller(Protocol):
    """What a client does for its jobs: calls, with its credentials and its errors."""

    channel: Any

    def call(self, rpc: Any, request: Any, timeout: timedelta | None) -> Any:  # noqa: ANN401 - any rpc
        """Give the one answer."""

    def receive(self, rpc: Any, request: Any, timeout: timedelta | None) -> Any:  # noqa: ANN401 - any rpc
        """Give the answers as they come."""


class Jobs:
    """Our jobs on the server of a `Client`."""

    def __init__(self, client: Caller) -> None:
        """Take the client, which must be entered."""
        self._client = client
        self._stub: Any = pb_grpc.JobServiceStub(client.channel)  # type: ignore[no-untyped-call]  # generated

    async def start(
        self, job: Job, *, timeout: timedelta | None = None, **fields: Unpack[StartFields]
    ) -> StoredJob:
        """Have a job kept and run; returns when it is on the server's disk.

        With a `request_id` this may be tried again: it is the same job, not another one.

        Raises:
            ConflictError: another job of ours has this `request_id`.
            PreconditionError: the server keeps no jobs, or allows no such webhook.
            Busy: as many of ours wait as may, or of all.
            And as `Client.run`.

        """
        request = _start_request(job, fields)
        return _stored(await self._client.call(self._stub.StartJob, request, timeout))

    async def get(self, job_id: str, *, timeout: timedelta | None = None) -> StoredJob:
        """Tell how a job is.

        Raises:
            NotFoundError: we have no such job, or no more.

        """
        return _stored(await self._get(job_id, timeout))

    async def result(self, job_id: str, *, timeout: timedelta | None = None) -> RunResult | None:
        """Give what `Client.run` would have given; None while, or if, its program has not ended.

        Raises:
            NotFoundError: we have no such job, or no more.

        """
        return _result(await self._get(job_id, timeout))

    async def list(
        self,
        *,
        states: Iterable[JobState] = (),
        labels: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
    ) -> AsyncIterator[StoredJob]:
        """Give all our jobs there, the latest first: those in one of some states, with labels."""
        request = _list_request(states, labels)
        while True:
            answer = await self._client.call(self._stub.ListJobs, request, timeout)
            for message in answer.jobs:
                yield wire_jobs.to_stored(message)
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def watch(
        self,
        job_id: str,
        *,
        position: int = 0,
        patience: timedelta = PATIENCE,
        timeout: timedelta | None = None,
    ) -> AsyncGenerator[Piece, None]:
        """Give a job's output from a position on, as it comes, to the job's end.

        When the connection is cut it goes on where it was; `patience` is for a server that is gone.

        Raises:
            NotFoundError: we have no such job, or no more.
            RequestError: its output does not reach that far.
            HostError: the server was not there for too long.

        """
        place = _Place(position, patience)
        while not place.is_over:
            try:
                request = pb.WatchJobRequest(id=job_id, position_bytes=place.position)
                async for answer in self._client.receive(self._stub.WatchJob, request, timeout):
                    if (piece := place.take(answer)) is not None:
                        yield piece
            except HostError as error:
                place.check(error)
                await asyncio.sleep(PAUSE_SECONDS)

    async def cancel(
        self,
        job_id: str,
        *,
        signal: str = "TERM",
        grace: timedelta = GRACE,
        timeout: timedelta | None = None,
    ) -> StoredJob:
        """End a job: a signal to its program, and the kill of everything after a grace.

        Raises:
            NotFoundError: we have no such job, or no more.

        """
        request = _cancel_request(job_id, signal, grace)
        return _stored(await self._client.call(self._stub.CancelJob, request, timeout))

    async def _get(self, job_id: str, timeout: timedelta | None) -> pb.GetJobResponse:
        request = pb.GetJobRequest(id=job_id)
        answer: pb.GetJobResponse = await self._client.call(self._stub.GetJob, request, timeout)
        return answer


class SyncJobs:
    """The synchronous twin of `Jobs`; may be shared by threads. Errors are the same."""

    def __init__(self, client: Caller) -> None:
        """Take the client, which must be entered."""
        self._client = client
        self._stub: Any = pb_grpc.JobServiceStub(client.channel)  # type: ignore[no-untyped-call]  # generated

    def start(
        self, job: Job, *, timeout: timedelta | None = None, **fields: Unpack[StartFields]
    ) -> StoredJob:
        """Have a job kept and run; as `Jobs.start`."""
        return _stored(self._client.call(self._stub.StartJob, _start_request(job, fields), timeout))

    def get(self, job_id: str, *, timeout: timedelta | None = None) -> StoredJob:
        """Tell how a job is; as `Jobs.get`."""
        return _stored(self.get_response(job_id, timeout=timeout))

    def result(self, job_id: str, *, timeout: timedelta | None = None) -> RunResult | None:
        """Give what `SyncClient.run` would have given; as `Jobs.result`."""
        return _result(self.get_response(job_id, timeout=timeout))

    def get_response(self, job_id: str, *, timeout: timedelta | None = None) -> pb.GetJobResponse:
        """Ask for both, and give the message as it came."""
        request = pb.GetJobRequest(id=job_id)
        answer: pb.GetJobResponse = self._client.call(self._stub.GetJob, request, timeout)
        return answer

    def list(
        self,
        *,
        states: Iterable[JobState] = (),
        labels: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
    ) -> Iterator[StoredJob]:
        """Give all our jobs there, the latest first; as `Jobs.list`."""
        return map(wire_jobs.to_stored, self.messages(states, labels, timeout))

    def messages(
        self,
        states: Iterable[JobState] = (),
        labels: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
    ) -> Iterator[pb.StoredJob]:
        """Give the same as messages, as they came."""
        request = _list_request(states, labels)
        while True:
            answer = self._client.call(self._stub.ListJobs, request, timeout)
            yield from answer.jobs
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def watch(
        self,
        job_id: str,
        *,
        position: int = 0,
        patience: timedelta = PATIENCE,
        timeout: timedelta | None = None,
    ) -> Generator[Piece, None, None]:
        """Give a job's output from a position on, as it comes; as `Jobs.watch`."""
        place = _Place(position, patience)
        while not place.is_over:
            try:
                request = pb.WatchJobRequest(id=job_id, position_bytes=place.position)
                for answer in self._client.receive(self._stub.WatchJob, request, timeout):
                    if (piece := place.take(answer)) is not None:
                        yield piece
            except HostError as error:
                place.check(error)
                time.sleep(PAUSE_SECONDS)

    def cancel(
        self,
        job_id: str,
        *,
        signal: str = "TERM",
        grace: timedelta = GRACE,
        timeout: timedelta | None = None,
    ) -> StoredJob:
        """End a job; as `Jobs.cancel`."""
        request = _cancel_request(job_id, signal, grace)
        return _stored(self._client.call(self._stub.CancelJob, request, timeout))


class _Place:
    """Where a watcher is, over all its connections."""

    def __init__(self, position: int, patience: timedelta) -> None:
        self.position = position
        self.is_over = False
        self._patience_seconds = patience.total_seconds()
        self._heard = time.monotonic()

    def take(self, answer: pb.WatchJobResponse) -> Piece | None:
        """Take one answer; give it if it is output."""
        self._heard = time.monotonic()
        match answer.WhichOneof("event"):
            case "output":
                output = answer.output
                self.position = answer.position_bytes + len(output.data)
                moment: timedelta = output.time.ToTimedelta()
                stream, offset = int(output.stream), output.offset_bytes
                return Piece(stream, offset, moment, output.data, answer.position_bytes)
            case "ended":
                self.is_over = True
            case _:  # of a newer server
                pass
        return None

    def check(self, error: HostError) -> None:
        """Raise what will not pass by itself, or has not in time."""
        silent = time.monotonic() - self._heard
        if error.reason not in CUT or silent > self._patience_seconds:
            raise error


def _start_request(job: Job, fields: StartFields) -> pb.StartJobRequest:
    request = pb.StartJobRequest(
        job=wire.job_message(job),
        request_id=fields.get("request_id", ""),
        priority=fields.get("priority", 0),
        labels=fields.get("labels", {}),
    )
    if "keep_time" in fields:
        request.keep_time.FromTimedelta(fields["keep_time"])
    if "webhook" in fields:
        webhook = fields["webhook"]
        request.webhook.CopyFrom(pb.Webhook(url=webhook.url, secret=webhook.secret))
    return request


def _list_request(
    states: Iterable[JobState], labels: Mapping[str, str] | None
) -> pb.ListJobsRequest:
    names = [pb.JobState.Name(int(state)) for state in states]
    return pb.ListJobsRequest(states=names, labels=labels or {})


def _cancel_request(job_id: str, signal: str, grace: timedelta) -> pb.CancelJobRequest:
    request = pb.CancelJobRequest(id=job_id, cancel=runner_pb.Cancel(signal=signal))
    request.cancel.grace.FromTimedelta(grace)
    return request


def _stored(answer: Any) -> StoredJob:  # noqa: ANN401 - any answer with a job
    return wire_jobs.to_stored(answer.job)


def _result(answer: pb.GetJobResponse) -> RunResult | None:
    return wire.from_response(answer.response) if answer.HasField("response") else None
