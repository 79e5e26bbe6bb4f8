"""`sandboxd sandbox create|exec|ls|show|rm|pause|resume|put|get`: a server's lasting sandboxes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.jobs import input_file, limits_from, pairs, program_options, sandbox_options
from sandboxd.cli.servers import for_a_server, server_options
from sandboxd.cli.values import DurationValue, LimitValue
from sandboxd.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from sandboxd.client import SyncClient
    from sandboxd.model.job import InputFile
    from sandboxd.model.outcome import OutputFile

MISSING = 1


@click.group(help="Make sandboxes that stay, run programs in them, and bring files in and out.")
def command() -> None:
    """Group of the commands about sandboxes of a server."""


@command.command(
    "create",
    help="Make a sandbox that stays, and print its id. Limits are those of all that runs in it.",
)
@sandbox_options
@click.option("--idle-time", type=DurationValue(), help="Ends when unused for so long (10m).")
@click.option("--life-time", type=DurationValue(), help="Ends after so long in any case (24h).")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Find it by this again.")
@click.option("--json", "as_json", is_flag=True, help="Print the sandbox as JSON.")
@for_a_server
def create(client: SyncClient, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Make one; it outlives us."""
    from sandboxd.model.job import Network  # noqa: PLC0415 - `--help` must stay fast

    lives = ("idle_time", "life_time")
    sandbox = client.sandboxes.create(
        limits=limits_from(options),
        policy=options["policy"],
        root=options["root"],
        network=Network(options["network"]),
        require=options["require"],
        labels=pairs(options["labels"]),
        **{name: options[name] for name in lives if options[name] is not None},
    )
    if as_json:
        _print_json(sandbox.message())
    else:
        click.echo(sandbox.id)


@command.command(
    "exec",
    context_settings={"allow_interspersed_args": False},
    help="Run PROGRAM in a sandbox, live: it reads our standard input as it comes, and its output "
    "is ours as it goes. What it leaves in the background stays. The first SIGINT, SIGTERM or "
    "SIGHUP asks it to end, a second one kills it. Exit codes are those of `run`.",
)
@program_options
@click.option("--terminal", is_flag=True, help="Give it a terminal, joined to ours.")
@click.option("--no-stdin", is_flag=True, help="It reads nothing: end of file at once.")
@click.option(
    "--grace",
    default="10s",
    show_default=True,
    type=DurationValue(),
    help="How long it may go on after we were told to end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a RunResponse as JSON, at its end.")
@server_options
@click.argument("sandbox_id", metavar="ID")
@click.argument("argv", nargs=-1, required=True, metavar="[--] PROGRAM [ARG...]")
def exec_(sandbox_id: str, argv: tuple[str, ...], **options: Any) -> int:  # noqa: ANN401 - click's options
    """Run one program in it and exit as that did."""
    from sandboxd.cli.executing import run_in  # noqa: PLC0415 - `--help` must stay fast

    return run_in(sandbox_id, _program(argv), options)


@command.command("ls", help="List our sandboxes, the oldest first.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Only those with this.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
@for_a_server
def list_(client: SyncClient, *, labels: tuple[str, ...], as_json: bool) -> None:
    """Print one line a sandbox."""
    if as_json:
        for message in client.sandboxes.messages(pairs(labels)):
            _print_json(message, indent=None)
        return
    from sandboxd.cli.tables import print_sandboxes  # noqa: PLC0415 - rich is slow to import

    print_sandboxes(client.sandboxes.list(pairs(labels)))


@command.command("show", help="Show how a sandbox is, and what it uses.")
@click.argument("sandbox_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the sandbox as JSON.")
@for_a_server
def show(client: SyncClient, sandbox_id: str, *, as_json: bool) -> None:
    """Show one sandbox."""
    sandbox = client.sandboxes.at(sandbox_id)
    if as_json:
        _print_json(sandbox.message())
        return
    from sandboxd.cli.tables import print_sandbox  # noqa: PLC0415 - rich is slow to import

    print_sandbox(sandbox.info())


@command.command("rm", help="End sandboxes; exit code 1 if one was not there.")
@click.argument("sandbox_ids", nargs=-1, required=True, metavar="ID...")
@for_a_server
def remove(client: SyncClient, sandbox_ids: tuple[str, ...]) -> int:
    """End each, and name those that were not there."""
    code = 0
    for sandbox_id in sandbox_ids:
        try:
            client.sandboxes.at(sandbox_id).delete()
        except NotFoundError as error:
            click.echo(f"sandboxd: {error}", err=True)
            code = MISSING
    return code


@command.command("pause", help="Stop all processes of sandboxes where they are.")
@click.argument("sandbox_ids", nargs=-1, required=True, metavar="ID...")
@for_a_server
def pause(client: SyncClient, sandbox_ids: tuple[str, ...]) -> None:
    """Stop each."""
    for sandbox_id in sandbox_ids:
        client.sandboxes.at(sandbox_id).pause()


@command.command("resume", help="Let them go on.")
@click.argument("sandbox_ids", nargs=-1, required=True, metavar="ID...")
@for_a_server
def resume(client: SyncClient, sandbox_ids: tuple[str, ...]) -> None:
    """Let each go on."""
    for sandbox_id in sandbox_ids:
        client.sandboxes.at(sandbox_id).resume()


@command.command(
    "put",
    help="Write files into a sandbox: DEST=SRC, or SRC alone to /workspace under its own name; a "
    "directory with all that is in it, but links.",
)
@click.argument("sandbox_id", metavar="ID")
@click.argument("sources", nargs=-1, required=True, metavar="[DEST=]SRC...")
@for_a_server
def put(client: SyncClient, sandbox_id: str, sources: tuple[str, ...]) -> None:
    """Write all of them in one call."""
    files = [file for source in sources for file in _files_of(source)]
    client.sandboxes.at(sandbox_id).write_files(*files)


@command.command(
    "get",
    help="Bring files or globs back from a sandbox's /workspace; exit code 1 if one does not come.",
)
@click.argument("sandbox_id", metavar="ID")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--keep-to", default=".", show_default=True, metavar="DIR", help="Where to put them.")
@click.option(
    "--max-bytes", type=LimitValue("file_size_bytes"), help="Leave out a larger file (16MiB)."
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
@for_a_server
def get(client: SyncClient, sandbox_id: str, paths: tuple[str, ...], **options: Any) -> int:  # noqa: ANN401 - click's options
    """Keep each file as it comes."""
    from sandboxd.cli.keeping import keep  # noqa: PLC0415 - `--help` must stay fast
    from sandboxd.model.job import OutputPath  # noqa: PLC0415 - the same

    wanted = [OutputPath(path, max_bytes=options["max_bytes"]) for path in paths]
    code = 0
    for file in client.sandboxes.at(sandbox_id).read_files(*wanted):
        keep([file], options["keep_to"], quiet=options["as_json"])
        if options["as_json"]:
            _print_file(file)
        if file.fault is not None:
            code = MISSING
    return code


def _program(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Give the program: what follows the id, and a -- if there is one."""
    if argv[0] == "--" and len(argv) > 1:
        return argv[1:]
    if argv[0].startswith("-"):
        raise click.UsageError(f"no program: options as {argv[0]} stand before the id")
    return argv


def _files_of(source: str) -> Iterator[InputFile]:
    """Give the file that is meant, or all below a directory."""
    destination, _, path = source.rpartition("=")
    if not os.path.isdir(path):
        yield input_file(source if destination else f"{os.path.basename(path)}={path}")
        return
    place = destination or os.path.basename(os.path.abspath(path))
    for directory, _, names in os.walk(path):
        for name in names:
            below = os.path.join(directory, name)
            if os.path.isfile(below) and not os.path.islink(below):
                yield input_file(f"{place}/{os.path.relpath(below, path)}={below}")


def _print_file(file: OutputFile) -> None:
    line = {"path": file.path, "executable": file.executable}
    if file.fault is None:
        line["sizeBytes"] = str(len(file.content or b""))
    else:
        line["fault"] = f"FILE_FAULT_{file.fault.name}"
    click.echo(json.dumps(line))


def _print_json(message: Message, indent: int | None = 2) -> None:
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - `--help` must stay fast

    click.echo(MessageToJson(message, indent=indent))
