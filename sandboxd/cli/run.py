"""`sandboxd run`: one job, in this process (no server, no gRPC) or by a server (`--address`)."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.credentials import credential_options, credentials
from sandboxd.cli.jobs import host_from, host_options, job_from, job_options, terminal_from
from sandboxd.cli.keeping import keep
from sandboxd.cli.leavingroot import run_as_may_be
from sandboxd.cli.outcomes import FAULT, exit_code_of, report
from sandboxd.errors import SandboxdError

if TYPE_CHECKING:
    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult

GRACE = timedelta(seconds=10)
"""How long a program at a terminal may take to comply, when we are told to end."""


@click.command(
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    help="Run PROGRAM in a fresh sandbox. Exit code: the program's own; 128+n for signal n; 124 a "
    "limit ended it; 126/127 it could not be executed / was not found; 125 the sandbox failed.",
)
@job_options
@click.option("--keep", "keep", multiple=True, metavar="PATH", help="Bring a file or glob back.")
@click.option("--store", multiple=True, metavar="PATH", help="Store a file or glob as blobs.")
@click.option("--keep-to", default=".", show_default=True, metavar="DIR", help="Where to put them.")
@click.option("--terminal", is_flag=True, help="Give it a terminal, joined to ours.")
@click.option("--json", "as_json", is_flag=True, help="Print the RunResponse as JSON, only.")
@click.option("--explain", is_flag=True, help="Print the tapes and run nothing.")
@click.option(
    "--fault-code",
    default=FAULT,
    show_default=True,
    is_eager=True,  # it holds for what is wrong with the other options, too
    help="Exit code of our own failures.",
)
@click.option("--address", help="Send the job to this server instead.")
@credential_options
@host_options
@click.argument("argv", nargs=-1, required=True, metavar="-- PROGRAM [ARG...]")
def command(argv: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - click's options
    """Run one job and exit as its program did."""
    try:
        job = job_from(argv, options, terminal_from(options))
        if options["explain"]:
            from sandboxd.cli.explain import explain  # noqa: PLC0415 - only then

            click.echo(explain(job, host_from(options)))
            return
        result = run_as_may_be(lambda: _run(job, options), options)
        if options["as_json"]:
            _print_json(result)
        else:
            if options["address"]:
                sys.stdout.buffer.write(result.stdout.data)
                sys.stderr.buffer.write(result.stderr.data)
                sys.stdout.flush()
            report(result)
        keep(result.files, options["keep_to"], quiet=options["as_json"])
    except SandboxdError as error:
        click.echo(f"sandboxd: {error}", err=True)
        raise click.exceptions.Exit(options["fault_code"]) from error
    raise click.exceptions.Exit(exit_code_of(result))


def _run(job: Job, options: dict[str, Any]) -> RunResult:
    if job.terminal is not None:
        from sandboxd.cli.live import run_live  # noqa: PLC0415 - only then

        return run_live(job, {**options, "grace": GRACE}, takes_input=True)
    if options["address"]:
        from sandboxd.client import SyncClient  # noqa: PLC0415 - `run` alone needs no gRPC

        with SyncClient(options["address"], **credentials(options)) as client:
            return client.run_job(job)
    from sandboxd.runtime.launching import launched_ahead  # noqa: PLC0415 - --help must stay fast

    with launched_ahead() as launched:
        from sandboxd.cli.running import run_here  # noqa: PLC0415 - while the launcher starts

        return run_here(job, options, launched)


def _print_json(result: RunResult) -> None:
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - only then

    from sandboxd.server.wire import to_response  # noqa: PLC0415 - only then; imports no gRPC

    click.echo(MessageToJson(to_response(result)))
