"""The server: where it listens, what it offers beside the service, and how it leaves.

Leaving is graceful: health says NOT_SERVING, new jobs are refused as DRAINING, running and queued
ones end; then the listeners close. A second signal, or the grace, cuts this short.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from sandboxd.model.job import MAX_INPUT_BYTES
from sandboxd.model.limits import MIB
from sandboxd.server.admission import Admission
from sandboxd.server.listening import UNIX, Door, bind
from sandboxd.server.service import DESCRIPTOR, ReadsRequests, RunnerService
from sandboxd.server.systemd import Manager
from sandboxd.v1 import runner_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from datetime import timedelta
    from types import TracebackType

    from sandboxd.runtime.supervisor import Supervisor

MAX_REQUEST_BYTES = MAX_INPUT_BYTES + 8 * MIB
"""What a job may bring, and room for its arguments and paths."""

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # else two servers would share a port and neither would know
)

FAREWELL_SECONDS = 5.0
"""How long answers already given may take to leave; streams like health's Watch end with it."""

SERVICE = DESCRIPTOR.full_name


class Server:
    """Serves one supervisor on any number of addresses while its context lasts.

    Addresses are `unix:PATH` or `HOST:PORT`; port 0 takes a free one, see `addresses`.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        listen: Sequence[str],
        *,
        grace: timedelta | None = None,
        manager: Manager | None = None,
        waiting: socket.socket | None = None,
    ) -> None:
        """Take the addresses, and how long jobs may still run when the server leaves.

        Without a grace they run to their end. The host says how many run at once and how many wait.
        `manager` hears of each state. `waiting` is the manager's socket, in which clients wait when
        there is no server; while there is one, the unix addresses are links past it.
        """
        self.addresses: tuple[str, ...] = ()
        """Where the server really listens, once its context is entered."""
        self._listen = listen
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
            HostError: an address cannot be listened on, or must not be without authentication.

        """
        self._server = grpc.aio.server(options=OPTIONS, interceptors=(ReadsRequests(),))
        pb_grpc.add_RunnerServiceServicer_to_server(self._service, self._server)  # type: ignore[no-untyped-call]  # generated
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        await self._health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        try:
            self.addresses = self._bind()
            await self._server.start()
            if self._door:
                await self._door.open()
        except BaseException:
            await self._server.stop(None)
            raise
        self._heart = asyncio.create_task(self._manager.watch())
        return self

    def _bind(self) -> tuple[str, ...]:
        """Listen on every address; give those where clients find us."""
        if self._door is None:
            return tuple(bind(self._server, address) for address in self._listen)
        self._door.check()
        bind(self._server, f"{UNIX}{self._door.serving}")
        return tuple(a if a.startswith(UNIX) else bind(self._server, a) for a in self._listen)

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
        self._manager.tell("READY=1", f"STATUS=serving on {', '.join(self.addresses)}")
        try:
            await self._leaving.wait()
            await self.drain()
        finally:
            for number in signals:
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
            await self._server.stop(FAREWELL_SECONDS)
        finally:
            ended.cancel()
            hurried.cancel()
