"""A step of a CI job: a command over a copy of a directory, in a sandbox, with its log as it comes.

    python examples/ci_step.py unix:/run/user/1000/sandboxd.sock \
        --workspace examples/ci/project --artifact '**/*.txt' --out /tmp/artifacts \
        --secret-env TOKEN -- sh -c 'python3 -m unittest -v > report.txt; echo done'

Exits as the command does: 128 + n for signal n, 124 when a limit ended it, 126 or 127 when it could
not be started, 125 when nothing is known of it. SIGINT and SIGTERM end it politely, then for good.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import sandboxd
from sandboxd.model.signals import signal_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sandboxd.attached import Attached

MIB = 1 << 20
SHOWN_SECRET = "***"  # noqa: S105 - in place of one
NOTHING_KNOWN, LIMIT, NOT_EXECUTABLE, NOT_FOUND = 125, 124, 126, 127


class Log:
    """Writes whole lines as soon as they are there, without the secrets in them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Take what must not be shown, nor any line of it."""
        lines = {line.encode() for secret in secrets for line in secret.splitlines() if line}
        self._secrets = sorted(lines, key=len, reverse=True)  # one may be a part of another
        self._begun = b""

    def write(self, data: bytes) -> None:
        """Add some bytes."""
        lines, newline, self._begun = (self._begun + data).rpartition(b"\n")
        self._show(lines + newline)

    def end(self) -> None:
        """Write what had no newline."""
        self._show(self._begun)
        self._begun = b""

    def _show(self, text: bytes) -> None:
        for secret in self._secrets:
            text = text.replace(secret, SHOWN_SECRET.encode())
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()


def copied(workspace: Path) -> tuple[sandboxd.InputFile, ...]:
    """Read all files of a directory, but no links."""
    return tuple(
        sandboxd.InputFile(
            str(path.relative_to(workspace)),
            path.read_bytes(),
            executable=os.access(path, os.X_OK),
        )
        for path in sorted(workspace.rglob("*"))
        # A link may lead out of the directory, to what the command must not see.
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
    )


def keep_artifacts(files: Sequence[sandboxd.OutputFile], out: Path) -> None:
    """Write what was brought out; paths are below the workspace, the server sees to that."""
    for file in files:
        if file.content is None:
            print(f"no artifact {file.path}: {file.fault}")
            continue
        place = out / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.content)
        place.chmod(0o755 if file.executable else 0o644)
        print(f"artifact {place}, {len(file.content)} bytes")


def exit_code_of(ending: sandboxd.Ending) -> int:
    """Give the exit code that a shell would give."""
    match ending:
        case sandboxd.Exited(code):
            return code
        case sandboxd.Signaled(name):
            return 128 + (signal_number(name) or 0)
        case sandboxd.LimitExceeded():
            return LIMIT
        case sandboxd.NotStarted("ENOENT"):
            return NOT_FOUND
        case sandboxd.NotStarted():
            return NOT_EXECUTABLE
        case _:
            return NOTHING_KNOWN


async def follow(program: Attached, log: Log, grace: timedelta) -> sandboxd.RunResult:
    """Show the log to its end; when told to stop, send TERM, and KILL after the grace."""
    loop, leaving = asyncio.get_running_loop(), set()

    def leave() -> None:
        print(f"cancelled: TERM, and KILL after {grace.total_seconds():g} s", flush=True)
        leaving.add(asyncio.create_task(program.cancel("TERM", grace)))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, leave)
    await program.end_input()
    async for piece in program:
        log.write(piece.data)
    log.end()
    return await program.result()


async def run_step(options: argparse.Namespace, secrets: Mapping[str, str]) -> int:
    """Run the step; give its exit code."""
    files = copied(options.workspace)
    log = Log(secrets.values())
    shown = "".join(f"{name}={SHOWN_SECRET} " for name in secrets)
    log.write(f"step: {shown}{shlex.join(options.command)}\n".encode())
    log.write(f"workspace: {options.workspace}, {len(files)} files\n".encode())
    limits = sandboxd.Limits(
        cpu_time=timedelta(seconds=options.seconds),
        wall_time=timedelta(seconds=options.seconds),
        memory_bytes=512 * MIB,
        output_bytes=64 * MIB,
        process_count=256,
    )
    async with (
        sandboxd.Client(options.address) as client,
        client.attach(
            options.command,
            files=files,
            outputs=tuple(sandboxd.OutputPath(glob, optional=True) for glob in options.artifact),
            limits=limits,
            policy="build",
            merge_stderr=True,
            secret_env=secrets,
        ) as program,
    ):
        result = await follow(program, log, timedelta(seconds=options.grace))
    keep_artifacts(result.files, options.out)
    usage = result.usage
    print(
        f"{result.ending}: {usage.wall_time.total_seconds():.2f} s, "
        f"{usage.cpu_time.total_seconds():.2f} s of CPU, {usage.peak_memory_bytes / MIB:.0f} MiB"
    )
    return exit_code_of(result.ending)


def main() -> int:
    """Read what to do, and do it."""
    parser = argparse.ArgumentParser(description="Run a command over a copy of a directory.")
    parser.add_argument("address", help="of a sandboxd server: unix:PATH or HOST:PORT")
    parser.add_argument("--workspace", type=Path, default=Path(), help="what is copied in")
    parser.add_argument("--artifact", action="append", default=[], help="glob to bring out; repeat")
    parser.add_argument("--out", type=Path, default=Path("artifacts"), help="where artifacts go")
    parser.add_argument(
        "--secret-env", action="append", default=[], help="variable of ours; repeat"
    )
    parser.add_argument("--seconds", type=float, default=600, help="the most it may take (600)")
    parser.add_argument("--grace", type=float, default=10, help="seconds from TERM to KILL (10)")
    parser.add_argument("command", nargs="+", help="the command, behind --")
    options = parser.parse_args()
    if missing := [name for name in options.secret_env if name not in os.environ]:
        parser.error(f"cannot pass on {', '.join(missing)}: not set here")
    try:
        return asyncio.run(
            run_step(options, {name: os.environ[name] for name in options.secret_env})
        )
    except (sandboxd.SandboxdError, TimeoutError) as error:
        print(f"the step was not run to its end: {error}", file=sys.stderr)
        return NOTHING_KNOWN


if __name__ == "__main__":
    raise SystemExit(main())
