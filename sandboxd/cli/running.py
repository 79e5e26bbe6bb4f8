"""The job of `sandboxd run` in this very process: its supervisor, its output, its signals."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.jobs import host_from
from sandboxd.cli.keeping import Writer
from sandboxd.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult
    from sandboxd.runtime.launching import Launched


def run_here(job: Job, options: dict[str, Any], launched: Launched | None) -> RunResult:
    """Run one job to its end, and end everything behind it.

    Raises:
        SandboxdError: as `Supervisor.run`, and what keeps this host from running jobs.
        Abort: a signal ended it.

    """
    try:
        return asyncio.run(_run(job, options, launched))
    except asyncio.CancelledError:
        raise click.Abort from None


async def _run(job: Job, options: dict[str, Any], launched: Launched | None) -> RunResult:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _cancel, asyncio.current_task())
    writer = Writer()
    on_output = None if options["as_json"] else writer.write
    async with Supervisor(host_from(options), launched) as supervisor:
        result = await supervisor.run(job, on_output=on_output)
    writer.finish()
    return result


def _cancel(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()
