"""`sandboxd serve`: the daemon. Started as root, it gives root up before it serves."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.config import Config, as_toml, default_socket, load
from sandboxd.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandboxd.host import Host

log = logging.getLogger("sandboxd")

POOL_PER_PROCESSOR = 2
"""Blank sandboxes that stand ready, unless told otherwise."""


@click.command(help="Serve jobs over gRPC until SIGTERM or SIGINT, which drains.")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="unix:PATH or HOST:PORT; repeat.")
@click.option("--slots", "slot_count", type=click.IntRange(min=1), help="Jobs at once.")
@click.option("--pool", "pool_size", type=click.IntRange(min=0), help="Sandboxes made ahead.")
@click.option("--queue", "queue_length", type=click.IntRange(min=0), help="Jobs that may wait.")
@click.option("--grace", help="How long a drain waits for running jobs (30s); unset: until done.")
@click.option("--cgroup", help="Force a cgroup rung: v2, v2-bare, v1, none.")
@click.option("--ids", "id_mode", help="Force an id mode: range, single.")
@click.option("--callers", help="File that says who may call.")
@click.option("--audit", help="File to which a line of JSON is added for each job; unset: stderr.")
@click.option("--service-user", help="Whom to become when started as root.")
@click.option("--policies", "policy_directories", multiple=True, help="Directory of own policies.")
@click.option("--root-bind", "root_binds", multiple=True, help="Further directory jobs may read.")
@click.option("--config", "config_path", help="Configuration file.")
@click.option("--print-config", is_flag=True, help="Print the effective configuration and exit.")
def command(config_path: str | None, *, print_config: bool, **options: Any) -> None:  # noqa: ANN401
    """Serve until told to leave."""
    config = load(config_path, os.environ, options)
    if print_config:
        click.echo(as_toml(replace(config, listen=config.listen or (default_socket(),))))
        return
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_serve(config))
    except KeyboardInterrupt:
        raise click.Abort from None


async def _serve(config: Config) -> None:
    # Imported before root is given up: the interpreter may lie where the service user cannot read.
    from sandboxd.host import probe_host  # noqa: PLC0415 - `--help` must stay fast
    from sandboxd.runtime.supervisor import Supervisor  # noqa: PLC0415 - the same
    from sandboxd.server import audit  # noqa: PLC0415 - the same
    from sandboxd.server.serving import Server  # noqa: PLC0415 - the same
    from sandboxd.server.systemd import Manager, take_socket  # noqa: PLC0415 - the same
    from sandboxd.server.tls import TlsFiles  # noqa: PLC0415 - the same

    manager, waiting = Manager.of(os.environ), take_socket(os.environ)
    settings = config.settings
    if settings.pool_size is None:
        settings = replace(settings, pool_size=POOL_PER_PROCESSOR * len(os.sched_getaffinity(0)))
    host = probe_host(settings)
    listen = config.listen or (default_socket(),)
    for address in listen:
        _make_way_for(address, host, 0o711 if config.callers else 0o700)
    async with Supervisor(host) as supervisor:  # from here on we are the service user
        supervisor.keep_ready(host.slot_count)
        audit.write_to(audit.AuditFile(config.audit) if config.audit else logging.StreamHandler())
        async with Server(
            supervisor,
            listen,
            grace=config.grace,
            manager=manager,
            waiting=waiting,
            callers=config.callers,
            tls=TlsFiles(**config.tls) if config.tls else None,
        ) as server:
            _announce(host, server.addresses, has_callers=config.callers is not None)
            await server.serve()


def _announce(host: Host, addresses: Sequence[str], *, has_callers: bool) -> None:
    """Log what is weaker here, and where we serve."""
    for weakness in host.weaknesses:
        log.warning("weaker: %s: %s", weakness.subject, weakness.cause)
    for address in () if has_callers else addresses:
        if not address.startswith("unix:"):
            log.warning("weaker: %s: every user of this machine may call; name callers", address)
    log.info("serving on %s as uid %d", ", ".join(addresses), os.getuid())


def _make_way_for(address: str, host: Host, mode: int) -> None:
    """As root: make the directory of the service user's socket, and give it away.

    One that is there already stays as it is: root gives nothing away that it has not just made.
    """
    if not address.startswith("unix:") or not host.identity.started_as_root:
        return
    directory = Path(address.removeprefix("unix:")).absolute().parent
    uid, gid = host.identity.uid, host.identity.gid
    try:
        directory.mkdir(mode)
    except FileExistsError:
        if directory.stat().st_uid == 0:
            remedy = f"choose a directory that belongs to uid {uid}, or one that does not exist yet"
            text = f"cannot listen in {directory}: it is root's, and root is given up before"
            raise HostError("SOCKET_DIRECTORY", text, remedy) from None
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_uid == 0:
            os.fchown(fd, uid, gid)
    finally:
        os.close(fd)
