"""`sandboxd group`: programs that run together at a server, joined by pipes."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.credentials import credential_options, credentials
from sandboxd.cli.jobs import each_options, input_file, job_from
from sandboxd.cli.outcomes import FAULT, exit_code_of, how
from sandboxd.cli.values import DurationValue, parse_pair
from sandboxd.errors import SandboxdError
from sandboxd.model.group import End, EndRule, Group, Member, Pipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandboxd.model.group import GroupResult
    from sandboxd.model.job import InputFile, Job

_END = r"([^:>]+)(?::(\d+))?"
_PIPE = re.compile(f"{_END}>{_END}")


@click.command(
    help="Run several programs at once, each in a sandbox of its own, joined by pipes. Limits and "
    "environment hold for each of them. Exit code: that of the first member that failed; 124 if a "
    "limit ended it; 125 the sandbox failed.\n\nExample: sandboxd group --address unix:/run/s.sock "
    "--member 'judge=./judge in.txt' --member 'solver=python3 solver.py' --pipe 'solver>judge' "
    "--pipe 'judge>solver' --file judge:judge=./judge --file judge:in.txt=1.in "
    "--file solver:solver.py=solver.py",
)
@click.option("--address", required=True, help="The server.")
@credential_options
@click.option("--member", "members", multiple=True, required=True, metavar="NAME=COMMAND")
@click.option(
    "--pipe",
    "pipes",
    multiple=True,
    metavar="WRITER[:FD]>READER[:FD]",
    help="Join two members; descriptors are 1 and 0 unless given.",
)
@click.option("--record", "record_bytes", type=int, default=0, help="Bytes to record of each pipe.")
@click.option("--swallow", is_flag=True, help="Spare writers whose reader is gone.")
@click.option(
    "--end-rule",
    type=click.Choice([rule.value.replace("_", "-") for rule in EndRule]),
    default="wait",
    show_default=True,
    help="When the members are killed that still run.",
)
@click.option("--group-time", type=DurationValue(), help="The longest that all may take together.")
@each_options
@click.option(
    "--file", "placed", multiple=True, metavar="NAME:DEST=SRC|DIGEST", help="Place a member's file."
)
@click.option("--json", "as_json", is_flag=True, help="Print the RunGroupResponse as JSON, only.")
@click.option("--fault-code", default=FAULT, show_default=True, is_eager=True, help="As of `run`.")
def command(**options: Any) -> None:  # noqa: ANN401 - click's options
    """Run one group and exit as its first failed member did."""
    from sandboxd.client import SyncClient  # noqa: PLC0415 - --help must stay fast

    try:
        group = _group(options)
        with SyncClient(options["address"], **credentials(options)) as client:
            result = client.run_group(group)
    except SandboxdError as error:
        click.echo(f"sandboxd: {error}", err=True)
        raise click.exceptions.Exit(options["fault_code"]) from error
    if options["as_json"]:
        _print_json(result)
    else:
        _print(result)
    raise click.exceptions.Exit(_exit_code(result))


def _group(options: dict[str, Any]) -> Group:
    members = dict(parse_pair(text, "NAME=COMMAND") for text in options["members"])
    placed = [_placed(text, members) for text in options["placed"]]
    return Group(
        members=tuple(
            Member(name, _job(command, [file for of, file in placed if of == name], options))
            for name, command in members.items()
        ),
        pipes=tuple(_pipe(text, options) for text in options["pipes"]),
        end_rule=EndRule(options["end_rule"].replace("-", "_")),
        wall_time=options["group_time"],
    )


def _job(command: str, files: list[InputFile], options: dict[str, Any]) -> Job:
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise click.BadParameter(f"cannot split {command!r} into words: {error}") from None
    return replace(job_from(argv, {**options, "stdin": None, "files": ()}), files=tuple(files))


def _placed(text: str, members: Mapping[str, str]) -> tuple[str, InputFile]:
    name, colon, rest = text.partition(":")
    if not colon or name not in members:
        raise click.BadParameter(f"cannot place {text!r}: write NAME:DEST=SRC, NAME a member's")
    return name, input_file(rest)


def _pipe(text: str, options: dict[str, Any]) -> Pipe:
    match = _PIPE.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"cannot read {text!r}: write WRITER[:FD]>READER[:FD]")
    writer, writes_to, reader, reads_from = match.groups()
    return Pipe(
        writer=End(writer, int(writes_to or 1)),
        reader=End(reader, int(reads_from or 0)),
        swallow=options["swallow"],
        record_bytes=options["record_bytes"],
    )


def _exit_code(result: GroupResult) -> int:
    codes = [exit_code_of(member.result) for member in result.members if not member.stopped]
    return next((code for code in codes if code), 0)


def _print(result: GroupResult) -> None:
    """Show what was written, each line under its member's name, and how all went."""
    for member in result.members:
        for data in (member.result.stdout.data, member.result.stderr.data):
            for line in data.decode(errors="replace").splitlines():
                click.echo(f"{member.name}: {line}")
    for record in result.records:
        for time_ns, data in record.pieces:
            click.echo(f"{record.name} {time_ns / 1e9:.6f}s {data.decode(errors='replace')!r}")
    from rich.console import Console  # noqa: PLC0415 - --help must stay fast
    from rich.table import Table  # noqa: PLC0415 - the same

    table = Table("ended", "member", "how", "cpu", "wall")
    for member in sorted(result.members, key=lambda member: member.end_place):
        usage = member.result.usage
        times = [f"{time.total_seconds():.3f}s" for time in (usage.cpu_time, usage.wall_time)]
        stopped = " (stopped)" if member.stopped else ""
        table.add_row(
            str(member.end_place), member.name, how(member.result.ending) + stopped, *times
        )
    Console(stderr=True).print(table)


def _print_json(result: GroupResult) -> None:
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - only then

    from sandboxd.server.wire_group import from_result  # noqa: PLC0415 - only then

    click.echo(MessageToJson(from_result(result)))
