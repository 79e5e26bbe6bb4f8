"""The server: where it listens, what it offers beside the service, and how it leaves.

Leaving is graceful: health says NOT_SERVING, new jobs are refused as DRAINING, running and queued
ones end; then the listeners close. A second signal, or the grace, cuts this short.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from sandboxd.errors import HostError
from sandboxd.model.job import MAX_INPUT_BYTES
from sandboxd.model.limits import MIB
from sandboxd.server import audit
from sandboxd.server.access import Access, foreign
from sandboxd.server.addresses import UNIX
from sandboxd.server.admission import Admission
from sandboxd.server.auth import Guard
from sandboxd.server.gate import Gate
from sandboxd.server.listening import Door, bind
from sandboxd.server.service import DESCRIPTOR, ReadsRequests, RunnerService
from sandboxd.server.systemd import Manager
from sandboxd.server.tls import Certificates
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from types import TracebackType

    from sandboxd.runtime.supervisor import Supervisor
    from sandboxd.server.tls import TlsFiles

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = MAX_INPUT_BYTES + 8 * MIB
"""What a job may bring, and room for its arguments and paths."""

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # else two servers would share a port and neither would know
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
    ) -> None:
        """Take the addresses, and how long jobs may still run when the server leaves.

        Without a grace they run to their end. The host says how many run at once and how many wait.
        `manager` hears of each state. `waiting` is the manager's socket, in which clients wait when
        there is no server; while there is one, the unix addresses are links past it. `callers` is
        the file that says who may call; with `tls` all TCP is by TLS.
        """
        self.addresses: tuple[str, ...] = ()
        """Where the server really listens, once its context is entered."""
        self._listen = listen
        self._callers = callers
        self._tls = tls
        self._gates: list[Gate] = []
        self._grace = grace
        self._manager = manager or Manager(None, None)
        links = [Path(a.removeprefix(UNIX)) for a in listen if a.startswith(UNIX)]
        self._door = Door(waiting, links) if waiting else None
        self.admission = Admission(supervisor.host.slot_count, supervisor.host.queue_length)
        """The queue before the supervisor."""
        self._service = RunnerService(supervisor, self.admission)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # no stub has it
        self._leaving = asyncio.Event()
        self._hurrying = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Listen and serve.

        Raises:
            HostError: an address cannot be listened on, or must not be without authentication;
                callers or certificates cannot be used.

        """
        self._access = Access(self._callers)  # now: what was root's is no longer ours to read
        self._certificates = Certificates(self._tls) if self._tls else None
        guard = Guard(self._access, self._uid_of)
        self._server = grpc.aio.server(options=OPTIONS, interceptors=(guard, ReadsRequests()))
        pb_grpc.add_RunnerServiceServicer_to_server(self._service, self._server)  # type: ignore[no-untyped-call]  # generated
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        await self._health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        try:
            self.addresses = self._bind()
            await self._server.start()
            for gate in self._gates:
                await gate.open()
            if self._door:
                await self._door.open()
        except BaseException:
            await self._stop(None)
            raise
        self._heart = asyncio.create_task(self._manager.watch())
        return self

    def _bind(self) -> tuple[str, ...]:
        """Listen on every address; give those where clients find us."""
        if self._door is None:
            return tuple(self._bind_one(address) for address in self._listen)
        self._door.check()
        self._bind_one(f"{UNIX}{self._door.serving}")
        return tuple(a if a.startswith(UNIX) else self._bind_one(a) for a in self._listen)

    def _bind_one(self, address: str) -> str:
        if not address.startswith(UNIX):
            return bind(self._server, address, self._credentials())
        if not foreign(self._access.callers):
            return bind(self._server, address)
        gate = Gate(Path(address.removeprefix(UNIX)), self._may_enter)
        gate.prepare()
        bind(self._server, f"{UNIX}{gate.inner}")
        self._gates.append(gate)
        return address

    def _credentials(self) -> grpc.ServerCredentials | None:
        if self._certificates is None:
            return None
        if self._access.callers is None:
            text = "cannot use [tls] without callers: nobody would know who calls"
            raise HostError("CALLERS_MISSING", text, "name a file of callers")
        return self._certificates.credentials()

    def _may_enter(self, uid: int) -> bool:
        return self._access.callers is not None and uid in self._access.callers.uids

    def _uid_of(self, peer: str) -> int | None:
        return next((uid for g in self._gates if (uid := g.uid_of(peer)) is not None), None)

    def reload(self) -> None:
        """Read callers and certificates again, and open the audit's file again.

        Each that has a mistake stays as it was, and the log says why.
        """
        reloads = [lambda: self._access.reload(has_gate=bool(self._gates)), audit.reopen]
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

    async def drain(self) -> None:
        """Refuse new jobs, wait for the admitted ones (within the grace), stop listening.

        When it returns no job runs any more: those cut short have been killed and cleaned up.
        """
        self._leaving.set()
        self._manager.tell("STOPPING=1", "STATUS=draining: admitted jobs end, new ones are refused")
        if self._door:
            self._door.close()
            self._door = None
        await self._health.enter_graceful_shutdown()
        ended = asyncio.ensure_future(self.admission.drain())
        hurried = asyncio.ensure_future(self._hurrying.wait())
        try:
            await asyncio.wait(
                (ended, hurried),
                timeout=self._grace.total_seconds() if self._grace is not None else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not ended.done():
                self._service.cut_short()
                await ended
            await self._stop(FAREWELL_SECONDS)
        finally:
            ended.cancel()
            hurried.cancel()

    async def _stop(self, farewell_seconds: float | None) -> None:
        await self._server.stop(farewell_seconds)
        for gate in self._gates:
            gate.close()


def _tried(reload: Callable[[], None]) -> bool:
    try:
        reload()
    except HostError as error:
        log.error("%s; what held before still holds", error)  # noqa: TRY400 - no trace
        return False
    return True
