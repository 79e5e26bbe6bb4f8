"""The server: where it listens, what it offers beside the service, and how it leaves.

Leaving is graceful: health says NOT_SERVING, new jobs are refused as DRAINING, running and queued
ones end; then the listeners close. A second signal, or the grace, cuts this short.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from sandboxd.errors import HostError
from sandboxd.model.job import MAX_INPUT_BYTES
from sandboxd.model.limits import MIB
from sandboxd.server import audit
from sandboxd.server.access import Access
from sandboxd.server.admission import Admission
from sandboxd.server.auth import Guard
from sandboxd.server.blob_service import BlobService
from sandboxd.server.board import Counts
from sandboxd.server.entrance import Entrance
from sandboxd.server.job_blobs import JobBlobs
from sandboxd.server.job_service import JobService
from sandboxd.server.requests import SERVICES, ReadsRequests
from sandboxd.server.sandbox_service import SandboxService
from sandboxd.server.service import DESCRIPTOR, RunnerService
from sandboxd.server.systemd import Manager
from sandboxd.server.threads import Threads
from sandboxd.server.tls import Certificates
from sandboxd.server.turns import Turns
from sandboxd.v1 import blob_service_pb2_grpc as blob_grpc
from sandboxd.v1 import job_service_pb2_grpc as job_grpc
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc
from sandboxd.v1 import sandbox_service_pb2_grpc as sandbox_grpc

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from types import TracebackType

    from sandboxd.jobs.store import JobStore
    from sandboxd.runtime.supervisor import Supervisor
    from sandboxd.server.seat import Orders, Seat
    from sandboxd.server.tls import TlsFiles
    from sandboxd.store.blobs import BlobStore

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = MAX_INPUT_BYTES + 8 * MIB
"""What a job may bring, and room for its arguments and paths."""

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    # What those take whom nobody knows yet: connections, unfinished handshakes, calls, metadata.
    ("grpc.max_allowed_incoming_connections", 1024),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_concurrent_streams", 8192),
    ("grpc.absolute_max_metadata_size", 16 << 10),
    # Who pings without end is cut off; who vanished is noticed, and its jobs end.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 3),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)

FAREWELL_SECONDS = 5.0
"""How long answers already given may take to leave; streams like health's Watch end with it."""

SERVICE = DESCRIPTOR.full_name


class Server:
    """Serves one supervisor on any number of addresses while its context lasts.

    Addresses are `unix:PATH` or `HOST:PORT`; port 0 takes a free one, see `addresses`.
    """

    def __init__(  # noqa: PLR0913 - keywords, each of them one thing that an operator decides
        self,
        supervisor: Supervisor,
        listen: Sequence[str],
        *,
        grace: timedelta | None = None,
        manager: Manager | None = None,
        waiting: socket.socket | None = None,
        callers: str | None = None,
        tls: TlsFiles | None = None,
        seat: Seat | None = None,
        orders: Orders | None = None,
        blobs: BlobStore | None = None,
        jobs: JobStore | None = None,
        job_webhooks: Sequence[str] = (),
    ) -> None:
        """Take the addresses, and how long jobs may still run when the server leaves.

        Without a grace they run to their end. The host says how many run at once and how many wait.
        `manager` hears of each state. `waiting` is the manager's socket, in which clients wait when
        there is no server; while there is one, the unix addresses are links past it. `callers` is
        the file that says who may call; with `tls` all TCP is by TLS. `blobs` is where blobs are
        kept, if they are; `jobs` where jobs are, and `job_webhooks` below which addresses their
        ends may be told. One of several workers has a
        `seat` among them, and listens where its parent's `orders` say rather than on `listen`.
        """
        self.addresses: tuple[str, ...] = ()
        """Where the server really listens, once its context is entered."""
        self._listen = listen
        self._callers = callers
        self._tls = tls
        self._waiting = waiting
        self._grace = grace
        self._seat, self._orders = seat, orders
        self._manager = seat or manager or Manager(None, None)
        self._supervisor = supervisor
        self.admission = Admission(supervisor.host.slot_count, supervisor.host.queue_length)
        """The queue before the supervisor."""
        self._threads = Threads()
        self._blobs = BlobService(blobs, self._threads)
        supervisor.has_blobs = blobs is not None
        turns = Turns(supervisor, self.admission, JobBlobs(blobs, self._threads))
        self._service = RunnerService(turns, self.counts)
        self._sandboxes = SandboxService(supervisor, is_shared=seat is not None)
        self._jobs = JobService(
            jobs, self._threads, turns, job_webhooks, is_shared=seat is not None
        )
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # no stub has it
        self._tidying: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._hurrying = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Listen and serve.

        Raises:
            HostError: an address cannot be listened on, or must not be without authentication;
                callers or certificates cannot be used.

        """
        # Now: what was root's is no longer ours to read.
        self._access = Access(self._callers, worker_count=self._seat.count if self._seat else 1)
        self._certificates = Certificates(self._tls) if self._tls else None
        self._entrance = Entrance(self._access, self._certificates, self._seat)
        guard = Guard(self._access, self._entrance.uid_of)
        # Only workers share a port: of other servers, neither would know of the other.
        options = (*OPTIONS, ("grpc.so_reuseport", int(self._seat is not None)))
        self._server = grpc.aio.server(options=options, interceptors=(guard, ReadsRequests()))
        pb_grpc.add_RunnerServiceServicer_to_server(self._service, self._server)  # type: ignore[no-untyped-call]  # generated
        blob_grpc.add_BlobServiceServicer_to_server(self._blobs, self._server)  # type: ignore[no-untyped-call]  # generated
        sandbox_grpc.add_SandboxServiceServicer_to_server(self._sandboxes, self._server)  # type: ignore[no-untyped-call]  # generated
        job_grpc.add_JobServiceServicer_to_server(self._jobs, self._server)  # type: ignore[no-untyped-call]  # generated
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        for service in SERVICES:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        try:
            self.addresses = self._bind()
            await self._server.start()
            await self._jobs.start(self._access.known_as)
            await self._entrance.open()
            if self._seat:
                self._seat.attend(self._entrance.enter, self._hurry)
        except BaseException:
            self._jobs.cut_short()
            await self._stop(None)
            raise
        beat = self._seat.beat(self._own_counts) if self._seat else self._manager.watch()
        self._heart = asyncio.create_task(beat)
        self._tidying = asyncio.create_task(self._blobs.tidy())
        return self

    def _bind(self) -> tuple[str, ...]:
        if self._orders is not None:
            return self._entrance.bind_as_ordered(self._server, self._orders)
        return self._entrance.bind(self._server, self._listen, self._waiting)

    def counts(self) -> Counts:
        """Tell what runs, waits and stands ready; of several workers, in all of them together."""
        own = self._own_counts()
        return self._seat.total(own) if self._seat else own

    def _own_counts(self) -> Counts:
        host = self._supervisor.host
        return Counts(
            worker_count=1,
            processor_count=host.processor_count,
            slot_count=self.admission.slot_count,
            running_job_count=self.admission.held_count,
            waiting_job_count=self.admission.waiting_count,
            pool_size=host.pool_size,
            ready_sandbox_count=self._supervisor.ready_count,
        )

    def reload(self) -> None:
        """Read callers and certificates again, and open the audit's file again.

        Each that has a mistake stays as it was, and the log says why.
        """
        reloads = [lambda: self._access.reload(has_gate=self._entrance.has_gate), audit.reopen]
        if self._certificates:
            reloads.append(self._certificates.reload)
        outcomes = [_tried(reload) for reload in reloads]
        if all(outcomes):
            log.info("reloaded")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave gracefully; at once when an error is on its way out."""
        if kind is not None:
            self._hurrying.set()
        try:
            await self.drain()
        finally:
            self._heart.cancel()

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal cancels what still runs."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self.leave)
        if self._callers or self._tls or audit.has_file() or not os.isatty(0):
            # Else a closed terminal still ends us.
            loop.add_signal_handler(signal.SIGHUP, self.reload)
        self._manager.tell("READY=1", f"STATUS=serving on {', '.join(self.addresses)}")
        try:
            await self._leaving.wait()
            await self.drain()
        finally:
            for number in (*signals, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def leave(self) -> None:
        """Begin to leave; called once more, cancel the jobs that still run."""
        (self._hurrying if self._leaving.is_set() else self._leaving).set()

    def _hurry(self) -> None:
        """Leave at once: nobody is left who would tell us to."""
        self._leaving.set()
        self._hurrying.set()

    async def drain(self) -> None:
        """Refuse new jobs, wait for the admitted ones (within the grace), stop listening.

        When it returns no job runs any more: those cut short have been killed and cleaned up.
        """
        self._leaving.set()
        self._manager.tell("STOPPING=1", "STATUS=draining: admitted jobs end, new ones are refused")
        self._entrance.stop_inviting()
        await self._health.enter_graceful_shutdown()
        self._jobs.leave()
        ended = asyncio.gather(self.admission.drain(), self._sandboxes.drain())
        hurried = asyncio.ensure_future(self._hurrying.wait())
        try:
            await asyncio.wait(
                (ended, hurried),
                timeout=self._grace.total_seconds() if self._grace is not None else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not ended.done():
                self._service.cut_short()
                self._sandboxes.cut_short()
                self._jobs.cut_short()
                await ended
            await self._stop(FAREWELL_SECONDS)
        finally:
            ended.cancel()
            hurried.cancel()

    async def _stop(self, farewell_seconds: float | None) -> None:
        await self._sandboxes.close()
        await self._jobs.close()
        await self._server.stop(farewell_seconds)
        if self._tidying:
            self._tidying.cancel()
        await self._threads.close()
        if self._seat:
            self._seat.leave()
        self._entrance.close()


def _tried(reload: Callable[[], None]) -> bool:
    try:
        reload()
    except HostError as error:
        log.error("%s; what held before still holds", error)  # noqa: TRY400 - no trace
        return False
    return True
