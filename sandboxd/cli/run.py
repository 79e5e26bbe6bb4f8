"""`sandboxd run`: one job, in this process (no server, no gRPC) or by a server (`--address`)."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.credentials import credential_options, credentials
from sandboxd.cli.jobs import host_from, host_options, job_from, job_options
from sandboxd.cli.keeping import keep
from sandboxd.errors import SandboxdError
from sandboxd.model.outcome import (
    Exited,
    LimitExceeded,
    NotStarted,
    RunResult,
    Signaled,
    SyscallDenied,
)
from sandboxd.model.signals import signal_number

if TYPE_CHECKING:
    from sandboxd.model.job import Job, Terminal

LIMIT_ENDED, FAULT, NOT_EXECUTABLE, NOT_FOUND, BY_SIGNAL = 124, 125, 126, 127, 128


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
        job = job_from(argv, options, _terminal(options))
        if options["explain"]:
            from sandboxd.cli.explain import explain  # noqa: PLC0415 - only then

            click.echo(explain(job, host_from(options)))
            return
        result = _as_service_user(job, options) if _gives_root_up(options) else _run(job, options)
        if options["as_json"]:
            _print_json(result)
        else:
            if options["address"]:
                sys.stdout.buffer.write(result.stdout.data)
                sys.stderr.buffer.write(result.stderr.data)
                sys.stdout.flush()
            _report(result)
        keep(result, options["keep_to"], quiet=options["as_json"])
    except SandboxdError as error:
        click.echo(f"sandboxd: {error}", err=True)
        raise click.exceptions.Exit(options["fault_code"]) from error
    raise click.exceptions.Exit(exit_code_of(result))


def exit_code_of(result: RunResult) -> int:
    """Give the exit code that tells a result: the program's own wherever it has one."""
    match result.ending:
        case Exited(exit_code):
            return exit_code
        case Signaled(name):
            return BY_SIGNAL + (signal_number(name) or 0)
        case LimitExceeded():
            return LIMIT_ENDED
        case SyscallDenied():
            return BY_SIGNAL + signal.SIGSYS
        case NotStarted(errno):
            return NOT_FOUND if errno == "ENOENT" else NOT_EXECUTABLE


def _gives_root_up(options: dict[str, Any]) -> bool:
    return os.geteuid() == 0 and not options["address"] and bool(options["keep"])


def _as_service_user(job: Job, options: dict[str, Any]) -> RunResult:
    """As root, run in a child that gives root up, so that we still may write kept files.

    What the child answers is parsed as strictly as an answer from the network.
    """
    from sandboxd.server.wire import from_response, to_response  # noqa: PLC0415 - only then
    from sandboxd.v1 import runner_service_pb2 as pb  # noqa: PLC0415 - only then

    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        status = options["fault_code"]
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as answer:
                answer.write(to_response(_run(job, options)).SerializeToString())
            status = 0
        except SandboxdError as error:
            click.echo(f"sandboxd: {error}", err=True)
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        content = answer.read()
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise click.exceptions.Exit(options["fault_code"])
    return from_response(pb.RunResponse.FromString(content))


def _run(job: Job, options: dict[str, Any]) -> RunResult:
    if options["address"]:
        from sandboxd.client import SyncClient  # noqa: PLC0415 - `run` alone needs no gRPC

        with SyncClient(options["address"], **credentials(options)) as client:
            return client.run_job(job)
    from sandboxd.runtime.launching import launched_ahead  # noqa: PLC0415 - --help must stay fast

    with launched_ahead() as launched:
        from sandboxd.cli.running import run_here  # noqa: PLC0415 - while the launcher starts

        return run_here(job, options, launched)


def _terminal(options: dict[str, Any]) -> Terminal | None:
    if not options["terminal"]:
        return None
    if options["as_json"]:
        raise click.UsageError("--terminal shows what is written at once: it takes no --json")
    if options["address"]:
        raise click.UsageError("--terminal runs here: a server does not offer terminals yet")
    from sandboxd.cli.terminal import own_terminal  # noqa: PLC0415 - only then

    return own_terminal()


def _print_json(result: RunResult) -> None:
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - only then

    from sandboxd.server.wire import to_response  # noqa: PLC0415 - only then; imports no gRPC

    click.echo(MessageToJson(to_response(result)))


def _report(result: RunResult) -> None:
    """Say on stderr, in one line, why it did not simply exit."""
    match result.ending:
        case Exited():
            return
        case Signaled(name):
            text = f"ended by signal {name}"
        case LimitExceeded(limit):
            text = f"limit exceeded: {limit}"
        case SyscallDenied(name):
            text = f"system call denied: {name}"
        case NotStarted(_, message):
            text = message
    click.echo(f"sandboxd: {text}", err=True)
