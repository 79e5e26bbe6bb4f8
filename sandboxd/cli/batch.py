"""`sandboxd batch`: one program over many cases at a server, several at once."""

from __future__ import annotations

import json
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.jobs import job_from, job_options
from sandboxd.cli.outcomes import how
from sandboxd.cli.servers import for_a_server
from sandboxd.cli.values import parse_duration
from sandboxd.model.outcome import Exited, RunResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sandboxd.batches import BatchFields
    from sandboxd.cli.cases import NamedCase
    from sandboxd.client import SyncClient
    from sandboxd.model.batch import Answer

    Row = Sequence[str]

FAILED = 1
WELL = how(Exited(0))
RULES = ("all", "stop", "stop-group")
MAX_PARALLEL = (1 << 31) - 1


@click.command(
    context_settings={"allow_interspersed_args": False},
    help="Run PROGRAM over many cases at a server; the options of a job are common to all. Exit "
    "code: 0 all cases exited with 0; 1 some did not; 125 it could not be done.",
)
@click.option(
    "--cases",
    metavar="FILE|-",
    help="An object of JSON a line: name, stdin or stdin_from (FILE|DIGEST), argv, env, files "
    "({DEST: SRC|DIGEST}), limits, group.",
)
@click.option("--stdin-dir", metavar="DIR", help="A case for each file, which is its input.")
@click.option("--stdout-dir", metavar="DIR", help="Write each case's output there, by its name.")
@click.option(
    "--parallel",
    type=click.IntRange(0, MAX_PARALLEL),
    default=0,
    help="Cases at once; 0: as many as there are slots.",
)
@click.option(
    "--rule",
    type=click.Choice(RULES),
    default=RULES[0],
    show_default=True,
    help="What to run: all, until one fails, or each group until one of it fails.",
)
@click.option("--batch-time", metavar="TIME", help="The longest that all may take (5m).")
@click.option("--store", multiple=True, metavar="PATH", help="Store a file or glob as blobs.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON as each case ends.")
@job_options
@for_a_server
@click.argument("argv", nargs=-1, required=True, metavar="-- PROGRAM [ARG...]")
def command(client: SyncClient, argv: tuple[str, ...], **options: Any) -> int:  # noqa: ANN401 - click's options
    """Run the batch, and print how it went."""
    cases, fields = _cases(options), _fields(options)
    found = client.run_batch(job_from(argv, options), [one.case for one in cases], **fields)
    rows: dict[int, Row] = {}
    with closing(found), _progress(len(cases)) as on_answer:
        for index, answer in found:
            name = cases[index].name
            if options["stdout_dir"] is not None:
                _keep_output(options["stdout_dir"], name, answer)
            if options["as_json"]:
                _print_json(name, index, answer)
            rows[index] = _row(name, answer)
            on_answer(rows[index])
    if not options["as_json"]:
        _print_table([rows[index] for index in sorted(rows)])
    return 0 if all(row[1] == WELL for row in rows.values()) else FAILED


def _cases(options: Mapping[str, Any]) -> list[NamedCase]:
    from sandboxd.cli import cases  # noqa: PLC0415 - `--help` must stay fast

    lines, directory = options["cases"], options["stdin_dir"]
    if (lines is None) == (directory is None):
        raise click.UsageError("give one of --cases and --stdin-dir")
    if lines is not None:
        return cases.cases_from_lines(lines)
    return cases.cases_from_directory(directory)


def _fields(options: Mapping[str, Any]) -> BatchFields:
    from sandboxd.model.batch import Rule  # noqa: PLC0415 - `--help` must stay fast

    fields: BatchFields = {"parallel_count": options["parallel"], "rule": Rule(options["rule"])}
    if options["batch_time"] is not None:
        try:
            fields["wall_time"] = parse_duration(options["batch_time"])
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return fields


def _row(name: str, answer: Answer) -> Row:
    """Give what the table says of a case."""
    from sandboxd.model.batch import Skipped  # noqa: PLC0415 - `--help` must stay fast
    from sandboxd.model.outcome import Fault  # noqa: PLC0415 - the same

    if isinstance(answer, Fault):
        return (name, f"fault: {answer.reason}", "", "", "")
    if isinstance(answer, Skipped):
        return (name, f"skipped: {answer.cause.value}", "", "", "")
    usage = answer.usage
    times = (f"{time.total_seconds():.3f}" for time in (usage.cpu_time, usage.wall_time))
    return (name, how(answer.ending), *times, f"{usage.peak_memory_bytes / (1 << 20):.1f}")


def _print_json(name: str, index: int, answer: Answer) -> None:
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - only then

    from sandboxd.server.wire_batch import from_answer  # noqa: PLC0415 - only then

    fields = MessageToDict(from_answer(index, answer))
    click.echo(json.dumps({"index": index, "name": name, **fields}))


def _keep_output(directory: str, name: str, answer: Answer) -> None:
    """Write what a case wrote; its name is ours, but need not be a file's."""
    if not isinstance(answer, RunResult):
        return
    if "/" in name or name in {"", ".", ".."}:
        raise click.BadParameter(f"cannot write a file of the name {name!r}: give another one")
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        Path(directory, name).write_bytes(answer.stdout.data)
    except OSError as error:
        raise click.ClickException(f"cannot write below {directory}: {error.strerror}") from error


@contextmanager
def _progress(count: int) -> Iterator[Callable[[Row], None]]:
    """Show on a terminal, on stderr, how far it is, and how many failed."""
    if not sys.stderr.isatty():
        yield lambda _row: None
        return
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.progress import Progress  # noqa: PLC0415 - the same

    failed = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("cases", total=count)

        def on_answer(row: Row) -> None:
            nonlocal failed
            failed += row[1] != WELL
            progress.update(bar, advance=1, description=f"cases, {failed} failed")

        yield on_answer


def _print_table(rows: list[Row]) -> None:
    from collections import Counter  # noqa: PLC0415 - `--help` must stay fast

    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    table = Table()
    table.add_column("case", overflow="fold")
    table.add_column("ending", overflow="fold")
    for heading in ("cpu s", "wall s", "peak MiB"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    console.print(table)
    counts = Counter(row[1] for row in rows).most_common()
    summary = ", ".join(f"{count} {ending}" for ending, count in counts)
    console.print(Text(f"{len(rows)} cases: {summary}"))
