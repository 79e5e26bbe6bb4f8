"""`sandboxd policy learn`: run a program, and print the policy that it was seen to need."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.jobs import host_from, host_options, job_from, job_options

if TYPE_CHECKING:
    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult
    from sandboxd.runtime.learning import Learner


@click.command(
    "learn",
    context_settings={"allow_interspersed_args": False},
    help="Run PROGRAM under --policy, note every system call, and print a policy that allows those "
    "it made. Its own output goes to stderr.",
)
@job_options
@host_options
@click.argument("argv", nargs=-1, required=True, metavar="-- PROGRAM [ARG...]")
def command(argv: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - click's options
    """Run one job and print the draft."""
    import asyncio  # noqa: PLC0415 - `--help` must stay fast

    from sandboxd.offers import policy_for  # noqa: PLC0415 - the same
    from sandboxd.runtime.learning import Learner, draft  # noqa: PLC0415 - the same

    job, host = job_from(argv, options), host_from(options)
    learner = Learner(policy_for(job, host))
    result = asyncio.run(_run(job, host, learner))
    click.echo(draft(learner, argv[0]), nl=False)
    click.echo(f"sandboxd: {argv[0]} ended as {result.ending}", err=True)


async def _run(job: Job, host: Any, learner: Learner) -> RunResult:  # noqa: ANN401 - a Host
    from sandboxd.runtime.supervisor import Supervisor  # noqa: PLC0415 - `--help` must stay fast

    async with Supervisor(host) as supervisor:
        return await supervisor.run(job, on_output=_show, learner=learner)


def _show(_stream: int, piece: bytes) -> None:
    sys.stderr.buffer.write(piece)
    sys.stderr.flush()
