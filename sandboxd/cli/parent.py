"""`sandboxd serve --workers N`: the parent of the workers, from the configuration to its end.

The parent hands its whole configuration on, so a worker that is started later serves by the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING

from sandboxd.cli.config import as_toml
from sandboxd.identity import identify
from sandboxd.kernel import idmap
from sandboxd.runtime.channel import sealed_memory
from sandboxd.server.access import foreign, read_callers
from sandboxd.server.board import Board
from sandboxd.server.ports import Ports
from sandboxd.server.systemd import Manager, take_socket
from sandboxd.server.worker import Worker, WorkerEndedError
from sandboxd.server.workers import Workers

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sandboxd.cli.config import Config
    from sandboxd.identity import Identity

log = logging.getLogger("sandboxd")


async def oversee(config: Config, make_way: Callable[[str, Identity], None]) -> int:
    """Serve by workers until told to leave; give the exit code.

    `make_way` makes, as root, the directory of an address.

    Raises:
        HostError: an address, or the file of callers, cannot be used.

    """
    manager, waiting = Manager.of(os.environ), take_socket(os.environ)
    identity = identify(config.settings.service_user, config.settings.id_mode)
    for address in config.listen:
        make_way(address, identity)
    config_fd = sealed_memory(as_toml(config).encode(), "sandboxd-config")
    board = Board.made(config.workers)
    workers = Workers(
        lambda index: Worker(index, ["serve"], config_fd, board),
        config.workers,
        board,
        can_replace=not identity.started_as_root,
    )
    _hear_signals(workers, manager, config)
    try:
        await workers.enter()
        if identity.started_as_root:
            idmap.become(identity.uid, identity.gid)
        with _ports(config, waiting) as ports:
            await _serve(workers, ports, manager)
    except WorkerEndedError as ended:
        return 0 if workers.is_leaving else max(ended.code, 1)
    finally:
        code = await workers.end()
    return code


async def _serve(workers: Workers, ports: Ports, manager: Manager) -> None:
    def ready() -> None:
        places = ", ".join(ports.addresses)
        log.info("serving on %s as uid %d, with %d workers", places, os.getuid(), workers.count)
        manager.tell("READY=1", f"STATUS=serving on {places}")

    patience = manager.watchdog_seconds or 0.0
    heart = asyncio.create_task(manager.watch(lambda: workers.are_well(patience)))
    try:
        await workers.serve(ports, ready)
    finally:
        heart.cancel()


def _ports(config: Config, waiting: socket.socket | None) -> Ports:
    is_open = bool(config.callers and foreign(read_callers(config.callers)))
    return Ports(config.listen, waiting, is_open=is_open, has_tls=config.tls is not None)


def _hear_signals(workers: Workers, manager: Manager, config: Config) -> None:
    """Drain at SIGTERM or SIGINT, hurry at the second, read again at SIGHUP."""
    loop = asyncio.get_running_loop()

    def leave() -> None:
        manager.tell("STOPPING=1", "STATUS=draining: admitted jobs end, new ones are refused")
        workers.leave()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    if config.callers or config.tls or config.audit or not os.isatty(0):
        # Else a closed terminal still ends us.
        loop.add_signal_handler(signal.SIGHUP, workers.reload)
