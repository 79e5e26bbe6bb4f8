"""What a job is made of on a command line: the options of every command that runs one here."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.values import LimitValue, parse_pair
from sandboxd.model.blob import parse_digest
from sandboxd.model.job import InputFile, Job, Network, OutputPath
from sandboxd.model.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandboxd.host import Host
    from sandboxd.model.blob import Digest
    from sandboxd.model.job import Terminal


BLOB = "sha256:"
"""So a source begins that is a blob of the server's."""


def _limit_option(option: str, limit: str, text: str) -> Callable[[Any], Any]:
    """Make the option of one limit."""
    return click.option(option, limit, type=LimitValue(limit), help=text)


_SHARED = (
    _limit_option("--cpu-time", "cpu_time", "Processor time of all its processes (2s)."),
    _limit_option("--memory", "memory_bytes", "Memory of all its processes (256MiB)."),
    _limit_option("--processes", "process_count", "Processes and threads at once."),
    _limit_option("--scratch", "scratch_bytes", "Writable space (64MiB)."),
    _limit_option("--file-count", "file_count", "Files in the writable space."),
    _limit_option("--file-size", "file_size_bytes", "Size of one file."),
    _limit_option("--open-files", "open_file_count", "Open descriptors of one process."),
    _limit_option("--stack", "stack_bytes", "Stack of one process."),
    _limit_option("--cpus", "cpu_count", "Processors; fractions are allowed."),
    click.option("--policy", default="default", show_default=True, help="Seccomp policy."),
    click.option("--root", default="host", show_default=True, help="File system that it sees."),
    click.option("--network", type=click.Choice([n.value for n in Network]), default="none"),
    click.option(
        "--require", "require", multiple=True, metavar="NAME", help="Refuse if not enforced."
    ),
)
"""What a sandbox has, however many programs run in it."""
_PROGRAM = (
    _limit_option("--wall-time", "wall_time", "Time from exec to the end (5s)."),
    _limit_option("--output", "output_bytes", "Bytes kept of stdout and of stderr (1MiB)."),
    click.option("--stop-on-output", is_flag=True, help="Kill it when --output is passed."),
    click.option("--env", "env", multiple=True, metavar="K=V", help="Environment variable."),
    click.option("--workdir", default="/workspace", show_default=True, help="Working directory."),
    click.option(
        "--secret-env", multiple=True, metavar="NAME", help="Pass our variable, as a secret."
    ),
    click.option("--merge-stderr", is_flag=True, help="stderr into stdout, order kept."),
)
"""What each program has of its own."""
_EACH = (
    *_SHARED,
    *_PROGRAM,
    click.option("--exclusive-cpus", is_flag=True, help="No other job runs on them meanwhile."),
    click.option(
        "--secret-file",
        "secret_files",
        multiple=True,
        metavar="DEST=SRC",
        help="Place a secret file.",
    ),
)
_INPUT = (
    click.option(
        "--stdin", "stdin", metavar="FILE|-|DIGEST", help="Standard input; - reads ours to its end."
    ),
    click.option(
        "--file", "files", multiple=True, metavar="DEST=SRC|DIGEST", help="Place a file or blob."
    ),
)
_HOST = (
    click.option("--cgroup", "cgroup", help="Force a cgroup rung: v2, v2-bare, v1, none."),
    click.option("--ids", "id_mode", help="Force an id mode: range, single."),
    click.option("--root-bind", "root_binds", multiple=True, help="Further directory it may read."),
    click.option("--config", "config_path", help="Configuration file."),
)


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a job."""
    return each_options(_with(_INPUT, command))


def each_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those options of a job that are good for several at once: all but its input."""
    return _with(_EACH, command)


def sandbox_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a sandbox that stays."""
    return _with(_SHARED, command)


def program_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of one program in such a sandbox."""
    return _with(_PROGRAM, command)


def host_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how this host shall run it."""
    return _with(_HOST, command)


def _with(options: Iterable[Callable[..., Any]], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(tuple(options)):
        command = option(command)
    return command


def job_from(
    argv: tuple[str, ...], options: dict[str, Any], terminal: Terminal | None = None
) -> Job:
    """Make the job that the options describe."""
    return Job(
        argv=argv,
        env=pairs(options["env"]),
        working_directory=options["workdir"],
        stdin=content_from(options["stdin"]),
        secret_env=secret_env(options["secret_env"]),
        files=(
            *(input_file(text) for text in options["files"]),
            *(replace(input_file(text), secret=True) for text in options["secret_files"]),
        ),
        outputs=(
            *(OutputPath(path) for path in options.get("keep", ())),
            *(OutputPath(path, store=True) for path in options.get("store", ())),
        ),
        limits=limits_from(options),
        policy=options["policy"],
        root=options["root"],
        network=Network(options["network"]),
        merge_stderr=options["merge_stderr"],
        terminal=terminal,
        require=options["require"],
        exclusive_cpus=options["exclusive_cpus"],
    )


def terminal_from(options: dict[str, Any]) -> Terminal | None:
    """Describe the terminal that is asked for, if one is; it is as large as ours."""
    if not options["terminal"]:
        return None
    if options.get("as_json"):
        raise click.UsageError("--terminal shows what is written at once: it takes no --json")
    from sandboxd.cli.terminal import own_terminal  # noqa: PLC0415 - only then

    return own_terminal()


def limits_from(options: dict[str, Any]) -> Limits:
    """Give the limits that the options name."""
    return Limits(**{name: value for name, value in options.items() if name in Limits.__slots__})


def host_from(options: dict[str, Any]) -> Host:
    """Look at this host as the options say."""
    from sandboxd.cli.config import load  # noqa: PLC0415 - --help must stay fast
    from sandboxd.host import probe_host  # noqa: PLC0415 - the same

    given = {name: options[name] for name in ("cgroup", "id_mode", "root_binds")}
    settings = load(options["config_path"], os.environ, given).settings
    return probe_host(settings, options["policy"])


def content_from(source: str | None) -> bytes | Digest:
    """Give what a file has, our own input for ``-``, or the blob that is named."""
    if source is None:
        return b""
    if source.startswith(BLOB):
        return _blob(source)
    return sys.stdin.buffer.read() if source == "-" else _read(source)


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """Read each ``K=V``."""
    return dict(parse_pair(text, "K=V") for text in texts)


def secret_env(names: tuple[str, ...]) -> dict[str, str]:
    """Take variables from our own environment: a command line is for everybody to read."""
    for name in names:
        if name not in os.environ:
            raise click.BadParameter(f"cannot pass {name}: it is not in the environment")
    return {name: os.environ[name] for name in names}


def input_file(text: str) -> InputFile:
    """Give the input file that ``DEST=SRC`` or ``DEST=DIGEST`` means."""
    destination, source = parse_pair(text, "DEST=SRC")
    if source.startswith(BLOB):
        return InputFile(destination, _blob(source), executable=True)
    return InputFile(destination, _read(source), os.access(source, os.X_OK))


def _blob(text: str) -> Digest:
    """Name a blob of the server's; a file of such a name is ./sha256:..."""
    try:
        return parse_digest(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"cannot read {path}: {error.strerror}") from error
