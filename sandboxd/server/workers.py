"""The parent of several workers: starts and watches them, and spreads connections over them.

It has no threads, no gRPC and no jobs. What ends a worker ends the jobs of that one alone; another
takes its seat. When the parent dies, its workers notice at once, and leave.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sandboxd.errors import HostError
from sandboxd.server.seat import ENTERED, READY
from sandboxd.server.worker import WorkerEndedError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterable

    from sandboxd.server.board import Board
    from sandboxd.server.ports import Ports
    from sandboxd.server.worker import Worker

log = logging.getLogger("sandboxd.workers")

FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.1, 30.0
"""Before a seat is taken again; twice as long each time, for a worker that does not last."""
LASTING_SECONDS = 60.0
"""After so long, an end has nothing to do with the start."""
ACCEPT_PAUSE_SECONDS = 1.0
"""Where the host is short of what a connection takes: the next may be luckier."""
LEAST_SILENCE_SECONDS = 1.0
"""A worker that wrote its row less long ago is never called stuck."""


class Workers:
    """Keeps `count` workers serving until told to leave."""

    def __init__(
        self, start: Callable[[int], Worker], count: int, board: Board, *, can_replace: bool
    ) -> None:
        """Take what starts the worker of a seat, and whether that still works later on."""
        self.count = count
        self._start = start
        self._board = board
        self._can_replace = can_replace
        self._workers: list[Worker] = []
        self._leaving = asyncio.Event()
        self._has_failed = False
        self._a_worker_is_ready = asyncio.Event()

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to leave."""
        return self._leaving.is_set()

    async def enter(self) -> None:
        """Start all; return when each has what it needs of the host, and is root no more.

        The first alone: where the cgroup is delegated to us as a whole, it moves all of us into a
        part of it, and those who come later are born there.

        Raises:
            WorkerEndedError: one could not; it has said why.

        """
        for indexes in (range(1), range(1, self.count)):
            fresh = [self._start(index) for index in indexes]
            self._workers += fresh
            await _all(worker.until(ENTERED) for worker in fresh)

    async def serve(self, ports: Ports, ready: Callable[[], None]) -> None:
        """Have all serve, call `ready` once they do, and return when all have left.

        Raises:
            WorkerEndedError: one ended before it served; it has said why.

        """
        for worker in self._workers:
            worker.order(ports.orders(worker.index))
        await _all(worker.until(READY) for worker in self._workers)
        self._a_worker_is_ready.set()
        ready()
        spreading = [asyncio.create_task(self._spread(one)) for one in ports.listeners]
        if ports.is_kept:
            spreading.append(asyncio.create_task(self._stop_with(spreading.copy())))
        try:
            await _all(self._keep(index, ports) for index in range(self.count))
        finally:
            for task in spreading:
                task.cancel()

    async def end(self) -> int:
        """End what still runs, and wait for it; give our own exit code."""
        self.leave()
        codes = [await worker.ended() for worker in self._workers]
        return int(self._has_failed or any(codes))

    def leave(self) -> None:
        """Have all workers leave; called once more, have them cut their jobs short."""
        self._leaving.set()
        for worker in self._workers:
            worker.signal(signal.SIGTERM)

    def reload(self) -> None:
        """Have all workers read again what may change while they serve."""
        for worker in self._workers:
            worker.reload()

    def are_well(self, patience_seconds: float) -> bool:
        """Tell whether every event loop turns, as far as the board shows."""
        patience = max(patience_seconds, LEAST_SILENCE_SECONDS)
        return all(
            self._board.silent_seconds(worker.index) < patience
            for worker in self._workers
            if worker.is_ready
        )

    async def _keep(self, index: int, ports: Ports) -> None:
        """Have somebody in a seat until we leave."""
        clock = asyncio.get_running_loop().time
        delay = FIRST_DELAY_SECONDS
        since = clock()
        while True:
            code = await self._workers[index].ended()
            self._look_for_ready()
            if self._leaving.is_set():
                return
            if not self._can_replace:
                log.error("worker %d ended (%s); root was given up, so all leave", index, code)
                self._has_failed = True
                self.leave()
                return
            if clock() - since > LASTING_SECONDS:
                delay = FIRST_DELAY_SECONDS
            log.error("worker %d ended (%s); starting another in %g s", index, code, delay)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), delay)
                return
            delay = min(2 * delay, MAX_DELAY_SECONDS)
            since = clock()
            await self._replace(index, ports)

    async def _replace(self, index: int, ports: Ports) -> None:
        """Put a new worker into a seat; if that fails the caller finds one that has ended."""
        try:
            worker = self._workers[index] = self._start(index)
        except HostError as error:
            log.error("%s", error)  # noqa: TRY400 - no trace
            return
        with suppress(WorkerEndedError):
            await worker.until(ENTERED)
            worker.order(ports.orders(index))
            await worker.until(READY)
            self._a_worker_is_ready.set()
            log.info("worker %d serves again", index)

    async def _spread(self, listener: socket.socket) -> None:
        """Hand each connection to the worker that has the fewest."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:
                log.error("cannot accept a connection: %s", error.strerror)  # noqa: TRY400 - no trace
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            with client:
                await self._a_worker_is_ready.wait()
                self._hand(client)

    def _hand(self, client: socket.socket) -> None:
        ready = (worker for worker in self._workers if worker.is_ready)
        by_load = sorted(ready, key=lambda worker: (worker.is_leaving, worker.connection_count))
        any(worker.hand(client) for worker in by_load)  # else the client sees it closed

    async def _stop_with(self, spreading: list[asyncio.Task[None]]) -> None:
        await self._leaving.wait()
        for task in spreading:
            task.cancel()

    def _look_for_ready(self) -> None:
        if not any(worker.is_ready for worker in self._workers):
            self._a_worker_is_ready.clear()


async def _all(waits: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all; when one fails, for none any more."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
