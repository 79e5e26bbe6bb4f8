"""`sandboxd blob put|get|ls|rm`: what a server keeps for us by digest."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.servers import for_a_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandboxd.blobs import StoredBlob, SyncBlobs
    from sandboxd.client import SyncClient
    from sandboxd.model.blob import Digest

MISSING = 1
PIECE_BYTES = 1 << 20


@click.group(help="Store, fetch, list and remove blobs of a server: bytes by their digest.")
def command() -> None:
    """Group of the commands about blobs."""


def _with_blobs(body: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a server; the command gets our blobs there first."""

    @wraps(body)
    def with_blobs(client: SyncClient, **options: Any) -> Any:  # noqa: ANN401 - click's options
        return body(client.blobs, **options)

    return for_a_server(with_blobs)


@command.command("put", help="Store files, - is our input; print each one's digest.")
@click.argument("files", nargs=-1, required=True, metavar="FILE|-...")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
@_with_blobs
def put(blobs: SyncBlobs, files: tuple[str, ...], *, as_json: bool) -> None:
    """Store each file that the server lacks."""
    for name in files:
        size = None if name == "-" else _size(name)
        with _progress(name, size) as on_progress:
            source = _input() if name == "-" else Path(name)
            digest = blobs.put(source, on_progress=on_progress)
        click.echo(json.dumps({"file": name, **_fields(digest)}) if as_json else str(digest))


@command.command("get", help="Fetch a blob, or a part of it, to our output or to a file.")
@click.argument("digest")
@click.option("-o", "--output", metavar="FILE", help="Where to; it is there as a whole or not.")
@click.option("--offset", default=0, type=click.IntRange(min=0), help="The first byte to fetch.")
@click.option("--limit", type=click.IntRange(min=0), help="How many bytes to fetch at most.")
@_with_blobs
def get(blobs: SyncBlobs, digest: str, output: str | None, offset: int, limit: int | None) -> None:
    """Write the bytes as they come."""
    pieces = blobs.get(_parsed(digest), offset=offset, limit=limit)
    with _progress(digest, None) as on_progress, _written(output) as write:
        for piece in pieces:
            write(piece)
            on_progress(len(piece))


@command.command("ls", help="List our blobs.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
@_with_blobs
def list_(blobs: SyncBlobs, *, as_json: bool) -> None:
    """Print one line a blob."""
    found = blobs.list()
    if as_json:
        for stored in found:
            used = {"lastUseTime": stored.last_use.isoformat().replace("+00:00", "Z")}
            click.echo(json.dumps({**_fields(stored.digest), **used}))
        return
    _print_table(found)


@command.command("rm", help="Remove blobs; exit code 1 if one was not there.")
@click.argument("digests", nargs=-1, required=True, metavar="DIGEST...")
@_with_blobs
def remove(blobs: SyncBlobs, digests: tuple[str, ...]) -> int:
    """Remove each, and name those that were not there."""
    code = 0
    for digest in [_parsed(text) for text in digests]:
        if not blobs.delete(digest):
            click.echo(f"sandboxd: cannot find blob {digest}: you have none of it", err=True)
            code = MISSING
    return code


def _parsed(text: str) -> Digest:
    from sandboxd.model.blob import parse_digest  # noqa: PLC0415 - `--help` must stay fast

    try:
        return parse_digest(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _fields(digest: Digest) -> dict[str, Any]:
    """Give the fields as protobuf's JSON has them, where a 64-bit number is text."""
    return {"sha256": digest.sha256, "sizeBytes": str(digest.size_bytes)}


def _input() -> Iterator[bytes]:
    while piece := sys.stdin.buffer.read(PIECE_BYTES):
        yield piece


def _size(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError as error:
        raise click.BadParameter(f"cannot read {name}: {error.strerror}") from error


@contextmanager
def _progress(name: str, size: int | None) -> Iterator[Callable[[int], None]]:
    """Show on a terminal, on stderr, how far it is."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.progress import Progress  # noqa: PLC0415 - the same

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(name[:40], total=size)
        yield lambda count: progress.advance(bar, count)


@contextmanager
def _written(output: str | None) -> Iterator[Callable[[bytes], Any]]:
    """Give what writes to our output, or to a file that takes its name when all is there."""
    if output is None:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    part = Path(f"{output}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            yield file.write
        part.replace(output)
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _print_table(found: Iterator[StoredBlob]) -> None:
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.filesize import decimal  # noqa: PLC0415 - the same
    from rich.table import Table  # noqa: PLC0415 - the same

    table = Table("last used")
    table.add_column("size", justify="right")
    table.add_column("digest", overflow="fold")  # whole, to be copied
    for stored in sorted(found, key=lambda stored: stored.last_use, reverse=True):
        used = stored.last_use.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(used, decimal(stored.digest.size_bytes or 0), str(stored.digest))
    Console().print(table)
