"""`sandboxd run`: one job, in this process (no server, no gRPC) or by a server (`--address`)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.keeping import Writer, keep
from sandboxd.cli.values import LimitValue, parse_pair
from sandboxd.errors import SandboxdError
from sandboxd.model.job import InputFile, Job, Network, OutputPath, Terminal
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import (
    Exited,
    LimitExceeded,
    NotStarted,
    RunResult,
    Signaled,
    SyscallDenied,
)

if TYPE_CHECKING:
    from collections.abc import Callable


LIMIT_ENDED, FAULT, NOT_EXECUTABLE, NOT_FOUND, BY_SIGNAL = 124, 125, 126, 127, 128


def limit_option(option: str, limit: str, text: str) -> Callable[[Any], Any]:
    """Make the option of one limit."""
    return click.option(option, limit, type=LimitValue(limit), help=text)


@click.command(
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    help="Run PROGRAM in a fresh sandbox. Exit code: the program's own; 128+n for signal n; 124 a "
    "limit ended it; 126/127 it could not be executed / was not found; 125 the sandbox failed.",
)
@limit_option("--cpu-time", "cpu_time", "Processor time of all its processes (2s).")
@limit_option("--wall-time", "wall_time", "Time from exec to the end (5s).")
@limit_option("--memory", "memory_bytes", "Memory of all its processes (256MiB).")
@limit_option("--processes", "process_count", "Processes and threads at once.")
@limit_option("--output", "output_bytes", "Bytes kept of stdout and of stderr (1MiB).")
@limit_option("--scratch", "scratch_bytes", "Writable space (64MiB).")
@limit_option("--file-count", "file_count", "Files in the writable space.")
@limit_option("--file-size", "file_size_bytes", "Size of one file.")
@limit_option("--open-files", "open_file_count", "Open descriptors of one process.")
@limit_option("--stack", "stack_bytes", "Stack of one process.")
@limit_option("--cpus", "cpu_count", "Processors; fractions are allowed.")
@click.option("--stop-on-output", is_flag=True, help="Kill it when --output is passed.")
@click.option("--policy", default="default", show_default=True, help="Seccomp policy.")
@click.option("--root", default="host", show_default=True, help="File system that it sees.")
@click.option("--network", type=click.Choice([n.value for n in Network]), default="none")
@click.option("--env", "env", multiple=True, metavar="K=V", help="Environment variable.")
@click.option("--workdir", default="/workspace", show_default=True, help="Working directory.")
@click.option("--stdin", "stdin", metavar="FILE|-", help="Standard input; - reads ours to its end.")
@click.option("--file", "files", multiple=True, metavar="DEST=SRC", help="Place a file.")
@click.option("--keep", "keep", multiple=True, metavar="PATH", help="Bring a file or glob back.")
@click.option("--keep-to", default=".", show_default=True, metavar="DIR", help="Where to put them.")
@click.option("--require", "require", multiple=True, metavar="NAME", help="Refuse if not enforced.")
@click.option("--merge-stderr", is_flag=True, help="stderr into stdout, order kept.")
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
@click.option("--cgroup", "cgroup", help="Force a cgroup rung: v2, v2-bare, v1, none.")
@click.option("--ids", "id_mode", help="Force an id mode: range, single.")
@click.option("--config", "config_path", help="Configuration file.")
@click.argument("argv", nargs=-1, required=True, metavar="-- PROGRAM [ARG...]")
def command(argv: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - click's options
    """Run one job and exit as its program did."""
    try:
        job = job_from(argv, options)
        if options["explain"]:
            from sandboxd.cli.explain import explain  # noqa: PLC0415 - only then

            click.echo(explain(job, _host(options)))
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


def job_from(argv: tuple[str, ...], options: dict[str, Any]) -> Job:
    """Make the job that the options describe."""
    limits = {name: value for name, value in options.items() if name in Limits.__slots__}
    return Job(
        argv=argv,
        env=dict(parse_pair(text, "K=V") for text in options["env"]),
        working_directory=options["workdir"],
        stdin=_stdin(options["stdin"]),
        files=tuple(_input(text) for text in options["files"]),
        outputs=tuple(OutputPath(path) for path in options["keep"]),
        limits=Limits(**limits),
        policy=options["policy"],
        root=options["root"],
        network=Network(options["network"]),
        merge_stderr=options["merge_stderr"],
        terminal=_terminal(options),
        require=options["require"],
    )


def exit_code_of(result: RunResult) -> int:
    """Give the exit code that tells a result: the program's own wherever it has one."""
    match result.ending:
        case Exited(exit_code):
            return exit_code
        case Signaled(name):
            return BY_SIGNAL + _signal_number(name)
        case LimitExceeded():
            return LIMIT_ENDED
        case SyscallDenied():
            return BY_SIGNAL + signal.SIGSYS
        case NotStarted(errno):
            return NOT_FOUND if errno == "ENOENT" else NOT_EXECUTABLE


def _host(options: dict[str, Any]) -> Any:  # noqa: ANN401 - a Host, imported late
    from sandboxd.cli.config import load  # noqa: PLC0415 - --help must stay fast
    from sandboxd.host import probe_host  # noqa: PLC0415 - the same

    forced = {name: options[name] for name in ("cgroup", "id_mode")}
    return probe_host(load(options["config_path"], os.environ, forced).settings)


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
    try:
        return asyncio.run(_run_async(job, options))
    except asyncio.CancelledError:
        raise click.Abort from None


async def _run_async(job: Job, options: dict[str, Any]) -> RunResult:
    if options["address"]:
        from sandboxd.client import Client  # noqa: PLC0415 - `run` alone needs no gRPC

        async with Client(options["address"]) as client:
            return await client.run_job(job)
    from sandboxd.runtime.supervisor import Supervisor  # noqa: PLC0415 - --help must stay fast

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _cancel, asyncio.current_task())
    writer = Writer()
    on_output = None if options["as_json"] else writer.write
    async with Supervisor(_host(options)) as supervisor:
        if job.terminal is None:
            result = await supervisor.run(job, on_output=on_output)
        else:
            from sandboxd.cli.terminal import joined  # noqa: PLC0415 - only then

            with joined() as join:
                result = await supervisor.run(job, on_output=on_output, on_terminal=join)
    writer.finish()
    return result


def _terminal(options: dict[str, Any]) -> Terminal | None:
    if not options["terminal"]:
        return None
    if options["address"]:
        raise click.UsageError("--terminal runs here: a server does not offer terminals yet")
    from sandboxd.cli.terminal import own_terminal  # noqa: PLC0415 - only then

    return own_terminal()


def _cancel(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()


def _stdin(source: str | None) -> bytes:
    if source is None:
        return b""
    return sys.stdin.buffer.read() if source == "-" else _read(source)


def _input(text: str) -> InputFile:
    destination, source = parse_pair(text, "DEST=SRC")
    return InputFile(destination, _read(source), os.access(source, os.X_OK))


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"cannot read {path}: {error.strerror}") from error


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


def _signal_number(name: str) -> int:
    if name.startswith("RTMIN+"):
        return signal.SIGRTMIN + int(name.removeprefix("RTMIN+"))
    return int(signal.Signals[f"SIG{name}"])
