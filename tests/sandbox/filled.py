"""Fill a supervisor with running sandboxes, as many as it says fit here, and ask for one more.

``python filled.py LIMIT``: lowers a real limit first, for itself and all below, then executes
itself anew to fill. Prints what it was told, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys

from weak import enter_own_namespaces

from sandboxd.errors import HostError
from sandboxd.host import Settings, probe_host
from sandboxd.identity import IdMode
from sandboxd.kernel import syscalls
from sandboxd.model.job import Job
from sandboxd.model.limits import (
    DESCRIPTORS_PER_BLANK,
    DESCRIPTORS_PER_JOB,
    DESCRIPTORS_PER_SANDBOX,
    SPARE_DESCRIPTORS,
)
from sandboxd.model.outcome import Exited
from sandboxd.runtime.supervisor import Supervisor

WAITING = Job(argv=("/bin/sh", "-c", "echo; exec sleep 300"))
SLOTS = 3
NAMESPACE_LIMITS = "/proc/sys/user/max_{kind}_namespaces"


def descriptors() -> None:
    """Allow descriptors for three sandboxes with their jobs."""
    running = SLOTS * (DESCRIPTORS_PER_BLANK + DESCRIPTORS_PER_JOB)
    number = SPARE_DESCRIPTORS + DESCRIPTORS_PER_SANDBOX + running
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


def net() -> None:
    """Allow a few network namespaces."""
    enter_own_namespaces()
    syscalls.write_file(NAMESPACE_LIMITS.format(kind="net"), "13")


def ipc() -> None:
    """Allow a few IPC namespaces."""
    enter_own_namespaces()
    syscalls.write_file(NAMESPACE_LIMITS.format(kind="ipc"), "12")


LIMITS = {limit.__name__: limit for limit in (descriptors, net, ipc)}


async def waiting(supervisor: Supervisor) -> asyncio.Task[object]:
    """Start a program and wait until it runs."""
    started = asyncio.Event()
    run = asyncio.create_task(supervisor.run(WAITING, on_output=lambda *_: started.set()))
    ready = asyncio.create_task(started.wait())
    await asyncio.wait([run, ready], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if run.done():
        run.result()
    return run


async def fill(settings: Settings) -> dict[str, object]:
    """Fill, ask for one more, make room, ask again."""
    host = probe_host(settings)
    told: dict[str, object] = {"ceiling": host.sandbox_ceiling}
    async with Supervisor(host) as supervisor:
        runs = [await waiting(supervisor) for _ in range(host.sandbox_ceiling)]
        for name in ("refused", "refused again"):
            try:
                await supervisor.run(Job(argv=("/bin/true",)))
            except HostError as error:
                told[name] = [error.reason, str(error)]
        told["still running"] = sum(not run.done() for run in runs)
        runs[0].cancel()
        await asyncio.wait(runs[:1])
        result = await supervisor.run(Job(argv=("/bin/true",)))
        told["recovered"] = result.ending == Exited(0)
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
    return told


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        mode = None if sys.argv[2] == "descriptors" else IdMode.SINGLE  # one id, in namespaces
        settings = Settings(id_mode=mode, slot_count=SLOTS)
        sys.stdout.write(json.dumps(asyncio.run(fill(settings))))
    else:
        LIMITS[sys.argv[1]]()
        os.execv(sys.executable, [sys.executable, __file__, "fill", sys.argv[1]])  # noqa: S606
