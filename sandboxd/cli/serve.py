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
    from collections.abc import Callable, Sequence

    from sandboxd.host import Host
    from sandboxd.identity import Identity

log = logging.getLogger("sandboxd")

POOL_PER_PROCESSOR = 2
"""Blank sandboxes that stand ready, unless told otherwise."""


@click.command(help="Serve jobs over gRPC until SIGTERM or SIGINT, which drains.")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="unix:PATH or HOST:PORT; repeat.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that serve.")
@click.option("--slots", "slot_count", type=click.IntRange(min=1), help="Jobs at once.")
@click.option("--pool", "pool_size", type=click.IntRange(min=0), help="Sandboxes made ahead.")
@click.option("--queue", "queue_length", type=click.IntRange(min=0), help="Jobs that may wait.")
@click.option("--grace", help="How long a drain waits for running jobs (30s); unset: until done.")
@click.option("--cgroup", help="Force a cgroup rung: v2, v2-bare, v1, none.")
@click.option("--ids", "id_mode", help="Force an id mode: range, single.")
@click.option("--callers", help="File that says who may call.")
@click.option("--audit", help="File to which a line of JSON is added for each job; unset: stderr.")
@click.option("--blobs", help="Directory to keep blobs in; unset: none are kept.")
@click.option("--blob-bytes", help="What all blobs may have together (10GiB).")
@click.option(
    "--blob-ttl", help="How long an unused blob stays (24h); unset: until room is needed."
)
@click.option("--jobs", help="Directory to keep jobs in that outlive their caller; unset: none.")
@click.option("--job-bytes", help="What all kept jobs may have together (10GiB).")
@click.option("--job-queue", type=click.IntRange(min=1), help="Kept jobs that may wait (10000).")
@click.option("--job-keep-time", help="How long one is kept after its end, at most (24h).")
@click.option(
    "--job-webhook",
    "job_webhooks",
    multiple=True,
    metavar="URL",
    help="Below which address ends may be told; repeat.",
)
@click.option("--service-user", help="Whom to become when started as root.")
@click.option("--policies", "policy_directories", multiple=True, help="Directory of own policies.")
@click.option("--root-bind", "root_binds", multiple=True, help="Further directory jobs may read.")
@click.option("--config", "config_path", help="Configuration file.")
@click.option("--print-config", is_flag=True, help="Print the effective configuration and exit.")
@click.option("--seat", hidden=True, help="Serve as one of several workers; their parent's word.")
def command(
    config_path: str | None,
    seat: str | None,
    *,
    print_config: bool,
    **options: Any,  # noqa: ANN401 - click's options
) -> int:
    """Serve until told to leave; give the exit code."""
    config = load(config_path, os.environ, options)
    config = replace(config, listen=config.listen or (default_socket(),))
    if print_config:
        click.echo(as_toml(config))
        return 0
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        if config.workers > 1 and seat is None:
            return asyncio.run(_oversee(config))
        with asyncio.Runner(loop_factory=_quick_loop()) as runner:
            runner.run(_serve(config, seat))
    except KeyboardInterrupt:
        raise click.Abort from None
    return 0


def _quick_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Give uvloop's event loop where it is installed; it serves more jobs a second."""
    try:
        import uvloop  # noqa: PLC0415 - `--help` must stay fast
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _oversee(config: Config) -> int:
    from sandboxd.cli.parent import oversee  # noqa: PLC0415 - `--help` must stay fast

    mode = _directory_mode(config)
    return await oversee(config, lambda address, who: _make_way_for(address, who, mode))


async def _serve(config: Config, seat_text: str | None) -> None:
    # Imported before root is given up: the interpreter may lie where the service user cannot read.
    from sandboxd.cli.keptblobs import kept_blobs, make_place  # noqa: PLC0415 - `--help` must stay fast
    from sandboxd.cli.keptjobs import kept_jobs, prepare_jobs  # noqa: PLC0415 - the same
    from sandboxd.host import probe_host  # noqa: PLC0415 - the same
    from sandboxd.runtime.supervisor import Supervisor  # noqa: PLC0415 - the same
    from sandboxd.server import audit  # noqa: PLC0415 - the same
    from sandboxd.server.parts import part_of  # noqa: PLC0415 - the same
    from sandboxd.server.seat import Seat  # noqa: PLC0415 - the same
    from sandboxd.server.serving import Server  # noqa: PLC0415 - the same
    from sandboxd.server.systemd import Manager, take_socket  # noqa: PLC0415 - the same
    from sandboxd.server.tls import TlsFiles  # noqa: PLC0415 - the same

    manager, waiting = Manager.of(os.environ), take_socket(os.environ)
    settings = config.settings
    host = probe_host(settings)
    if settings.pool_size is None:
        usual = POOL_PER_PROCESSOR * host.processor_count
        host = replace(host, pool_size=min(usual, host.pool_ceiling))
    seat = Seat.taken(seat_text, config.workers) if seat_text else None
    if seat:
        host = part_of(host, seat.index, seat.count)
    else:
        for address in config.listen:
            _make_way_for(address, host.identity, _directory_mode(config))
    if config.blobs:
        make_place(config.blobs, host)
    prepare_jobs(config, host)
    async with Supervisor(host) as supervisor:  # from here on we are the service user
        supervisor.keep_ready(host.slot_count)
        audit.write_to(audit.AuditFile(config.audit) if config.audit else logging.StreamHandler())
        with kept_blobs(config) as blobs, kept_jobs(config, seat) as jobs:
            async with Server(
                supervisor,
                config.listen,
                grace=config.grace,
                manager=manager,
                waiting=waiting,
                callers=config.callers,
                tls=TlsFiles(**config.tls) if config.tls else None,
                seat=seat,
                orders=await seat.ask_orders() if seat else None,
                blobs=blobs,
                jobs=jobs,
                job_webhooks=config.job_webhooks,
            ) as server:
                if seat is None or seat.index == 0:
                    _announce(host, server.addresses, has_callers=config.callers is not None)
                if seat is None:
                    log.info("serving on %s as uid %d", ", ".join(server.addresses), os.getuid())
                await server.serve()


def _announce(host: Host, addresses: Sequence[str], *, has_callers: bool) -> None:
    """Log what is weaker here."""
    for weakness in host.weaknesses:
        log.warning("weaker: %s: %s", weakness.subject, weakness.cause)
    for address in () if has_callers else addresses:
        if not address.startswith("unix:"):
            log.warning("weaker: %s: every user of this machine may call; name callers", address)


def _directory_mode(config: Config) -> int:
    return 0o711 if config.callers else 0o700


def _make_way_for(address: str, identity: Identity, mode: int) -> None:
    """As root: make the directory of the service user's socket, and give it away.

    One that is there already stays as it is: root gives nothing away that it has not just made.
    """
    if not address.startswith("unix:") or not identity.started_as_root:
        return
    directory = Path(address.removeprefix("unix:")).absolute().parent
    uid, gid = identity.uid, identity.gid
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
