"""`sandboxd attach`: one job live, in this process or at a server."""

from __future__ import annotations

from typing import Any

import click

from sandboxd.cli.credentials import credential_options
from sandboxd.cli.jobs import host_options, job_from, job_options, terminal_from
from sandboxd.cli.keeping import keep
from sandboxd.cli.leavingroot import run_as_may_be
from sandboxd.cli.outcomes import FAULT, exit_code_of, report
from sandboxd.cli.values import DurationValue
from sandboxd.errors import SandboxdError


@click.command(
    context_settings={"allow_interspersed_args": False},
    help="Run PROGRAM live in a fresh sandbox: it reads our standard input as it comes, and its "
    "output is ours as it goes. The first SIGINT, SIGTERM or SIGHUP asks it to end, a second one "
    "kills it. Exit codes are those of `run`.",
)
@job_options
@click.option("--terminal", is_flag=True, help="Give it a terminal, joined to ours.")
@click.option(
    "--grace",
    default="10s",
    show_default=True,
    type=DurationValue(),
    help="How long it may go on after we were told to end.",
)
@click.option("--keep", multiple=True, metavar="PATH", help="Bring a file or glob back.")
@click.option("--store", multiple=True, metavar="PATH", help="Store a file or glob as blobs.")
@click.option("--keep-to", default=".", show_default=True, metavar="DIR", help="Where to put them.")
@click.option("--fault-code", default=FAULT, show_default=True, is_eager=True, help="As of `run`.")
@click.option("--address", help="Send the job to this server instead.")
@credential_options
@host_options
@click.argument("argv", nargs=-1, required=True, metavar="-- PROGRAM [ARG...]")
def command(argv: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - click's options
    """Run one job live and exit as its program did."""
    from sandboxd.cli.live import run_live  # noqa: PLC0415 - --help must stay fast

    try:
        job = job_from(argv, options, terminal_from(options))
        takes_input = options["stdin"] is None
        result = run_as_may_be(lambda: run_live(job, options, takes_input=takes_input), options)
        report(result)
        keep(result.files, options["keep_to"], quiet=False)
    except SandboxdError as error:
        click.echo(f"sandboxd: {error}", err=True)
        raise click.exceptions.Exit(options["fault_code"]) from error
    raise click.exceptions.Exit(exit_code_of(result))
