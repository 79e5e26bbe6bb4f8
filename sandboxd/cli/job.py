"""`sandboxd job start|ls|show|watch|cancel`: jobs of a server that outlive their caller."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.jobs import job_from, job_options
from sandboxd.cli.servers import for_a_server
from sandboxd.cli.values import parse_duration, parse_pair

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from google.protobuf.message import Message

    from sandboxd.client import SyncClient
    from sandboxd.model.stored import JobState, StoredJob, Webhook

STATES = ("queued", "running", "ended", "fault", "cancelled", "interrupted")
NOT_ENDED = 125
"""Exit code of `watch` for a job whose program has not ended by itself, nor by a limit."""


@click.group(help="Start, list, show, watch and cancel jobs that outlive their caller.")
def command() -> None:
    """Group of the commands about jobs that a server keeps."""


class DurationValue(click.ParamType):  # type: ignore[type-arg]  # of a timedelta
    """The click type of a duration."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:  # noqa: ANN401 - click's signature
        """Read it, or fail with what it should look like."""
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@command.command(
    "start",
    context_settings={"allow_interspersed_args": False},
    help="Have a server keep a job and run PROGRAM; print its id once it is on the server's disk.",
)
@job_options
@click.option("--keep", multiple=True, metavar="PATH", help="Bring a file or glob back.")
@click.option("--store", multiple=True, metavar="PATH", help="Store a file or glob as blobs.")
@click.option("--request-id", metavar="NAME", help="Sent again it is the same job.")
@click.option("--priority", type=int, default=0, help="Among our waiting jobs; -100 to 100 (0).")
@click.option("--keep-time", type=DurationValue(), help="How long to keep it after its end.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Find it by this again.")
@click.option("--webhook", metavar="URL", help="Tell this address of its end.")
@click.option("--webhook-secret", metavar="NAME", help="Sign that with our variable NAME.")
@click.option("--json", "as_json", is_flag=True, help="Print the job as JSON.")
@for_a_server
@click.argument("argv", nargs=-1, required=True, metavar="-- PROGRAM [ARG...]")
def start(client: SyncClient, argv: tuple[str, ...], *, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Start one job."""
    fields: dict[str, Any] = {
        "request_id": options["request_id"] or "",
        "priority": options["priority"],
        "labels": _labels(options["labels"]),
    }
    if options["keep_time"] is not None:
        fields["keep_time"] = options["keep_time"]
    if options["webhook"] is not None:
        fields["webhook"] = _webhook(options["webhook"], options["webhook_secret"])
    job = client.jobs.start(job_from(argv, options), **fields)
    if as_json:
        _print_json(client.jobs.get_response(job.id).job)
    else:
        click.echo(job.id)


@command.command("ls", help="List our jobs, the latest first.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Only those with this one.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
@for_a_server
def list_(
    client: SyncClient, *, states: tuple[str, ...], labels: tuple[str, ...], as_json: bool
) -> None:
    """Print one line a job."""
    wanted = [_state(name) for name in states]
    if as_json:
        for message in client.jobs.messages(wanted, _labels(labels)):
            _print_json(message, indent=None)
        return
    _print_table(list(client.jobs.list(states=wanted, labels=_labels(labels))))


@command.command("show", help="Show how a job is, and write the files that came back.")
@click.argument("job_id", metavar="ID")
@click.option("--keep-to", metavar="DIR", help="Write its files here.")
@click.option("--json", "as_json", is_flag=True, help="Print the GetJobResponse as JSON.")
@for_a_server
def show(client: SyncClient, job_id: str, *, keep_to: str | None, as_json: bool) -> None:
    """Show one job."""
    from sandboxd.server.wire import from_response  # noqa: PLC0415 - `--help` must stay fast
    from sandboxd.server.wire_jobs import to_stored  # noqa: PLC0415 - the same

    answer = client.jobs.get_response(job_id)
    if as_json:
        _print_json(answer)
    else:
        _print_facts(to_stored(answer.job))
    if keep_to is not None and answer.HasField("response"):
        from sandboxd.cli.keeping import keep  # noqa: PLC0415 - only then

        keep(from_response(answer.response).files, keep_to, quiet=as_json)


@command.command(
    "watch",
    help="Write a job's output as it comes, to its end. Exit code: as `sandboxd run`; 125 if its "
    "program did not end.",
)
@click.argument("job_id", metavar="ID")
@click.option("--from", "position", type=click.IntRange(min=0), default=0, help="Leave out bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each piece.")
@for_a_server
def watch(client: SyncClient, job_id: str, *, position: int, as_json: bool) -> int:
    """Write what it writes, wherever it writes it."""
    for piece in client.jobs.watch(job_id, position=position):
        if as_json:
            _print_piece(piece.position, piece.stream, piece.data)
            continue
        target = (sys.stdout, sys.stderr)[piece.stream - 1].buffer
        target.write(piece.data)
        target.flush()
    job = client.jobs.get(job_id)
    if job.outcome is None:
        cause = f": {job.fault.message}" if job.fault else ""
        click.echo(f"sandboxd: {job.state.name.lower()}{cause}", err=True)
        return NOT_ENDED
    from sandboxd.cli.outcomes import exit_code_of  # noqa: PLC0415 - `--help` must stay fast
    from sandboxd.model.outcome import RunResult  # noqa: PLC0415 - the same

    return exit_code_of(RunResult(outcome=job.outcome))


@command.command("cancel", help="End jobs: one that waits never runs, one that runs may comply.")
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--signal", default="TERM", show_default=True, help="What its program gets first.")
@click.option(
    "--grace", type=DurationValue(), default="10s", show_default=True, help="Until the kill of all."
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
@for_a_server
def cancel(
    client: SyncClient, job_ids: tuple[str, ...], *, signal: str, grace: timedelta, as_json: bool
) -> None:
    """End each."""
    for job_id in job_ids:
        job = client.jobs.cancel(job_id, signal=signal, grace=grace)
        if as_json:
            _print_json(client.jobs.get_response(job_id).job, indent=None)
        else:
            click.echo(f"{job.id} {job.state.name.lower()}")


def _labels(texts: tuple[str, ...]) -> dict[str, str]:
    return dict(parse_pair(text, "K=V") for text in texts)


def _state(name: str) -> JobState:
    from sandboxd.model.stored import JobState  # noqa: PLC0415 - `--help` must stay fast

    return JobState[name.upper()]


def _webhook(url: str, variable: str | None) -> Webhook:
    """Take the secret from our own environment: a command line is for everybody to read."""
    import os  # noqa: PLC0415 - only here

    from sandboxd.model.stored import Webhook  # noqa: PLC0415 - `--help` must stay fast

    if variable is not None and variable not in os.environ:
        raise click.BadParameter(f"cannot sign with {variable}: it is not in the environment")
    return Webhook(url, os.environ[variable] if variable else "")


def _print_json(message: Message, indent: int | None = 2) -> None:
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - only then

    click.echo(MessageToJson(message, indent=indent))


def _print_piece(position: int, stream: int, data: bytes) -> None:
    import base64  # noqa: PLC0415 - only then

    name = ("stdout", "stderr")[stream - 1]
    text = base64.b64encode(data).decode()
    click.echo(json.dumps({"positionBytes": str(position), "stream": name, "data": text}))


def _print_table(jobs: list[StoredJob]) -> None:
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.filesize import decimal  # noqa: PLC0415 - the same
    from rich.table import Table  # noqa: PLC0415 - the same

    table = Table("created", "state", "labels")
    table.add_column("output", justify="right")
    table.add_column("id", no_wrap=True)  # whole, to be copied
    for job in jobs:
        labels = " ".join(f"{key}={value}" for key, value in job.labels.items())
        state = f"{job.state.name.lower()} {_ending(job)}".strip()
        if job.queue_position:
            state += f" behind {job.queue_position}"
        size = decimal(job.output_bytes)
        table.add_row(_local(job.create_time), state, labels, size, job.id)
    Console().print(table)


def _print_facts(job: StoredJob) -> None:
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    table = Table(show_header=False, box=None)
    for name, value in (
        ("id", job.id),
        ("state", job.state.name.lower()),
        ("ending", _ending(job)),
        ("request id", job.request_id),
        ("priority", str(job.priority)),
        ("waiting before it", str(job.queue_position) if job.state == _state("queued") else ""),
        ("labels", " ".join(f"{key}={value}" for key, value in job.labels.items())),
        ("created", _local(job.create_time)),
        ("started", _local(job.start_time)),
        ("ended", _local(job.end_time)),
        ("kept until", _local(job.expire_time)),
        ("output", f"{job.output_bytes} bytes"),
    ):
        if value:
            table.add_row(name, Text(value, overflow="fold"))
    Console().print(table)


def _ending(job: StoredJob) -> str:
    """Say in a few words how it ended."""
    if job.fault is not None:
        return job.fault.reason
    if job.outcome is None:
        return ""
    ending = job.outcome.ending
    word = {"Exited": "exit", "Signaled": "signal", "LimitExceeded": "limit"}
    kind = type(ending).__name__
    first = getattr(ending, ending.__slots__[0])
    return f"{word.get(kind, 'denied' if kind == 'SyscallDenied' else 'not started')} {first}"


def _local(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
