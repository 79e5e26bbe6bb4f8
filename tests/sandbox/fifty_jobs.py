"""A daemon with sleeping jobs; says where its cgroups lie once all run, then waits to die."""

from __future__ import annotations

import asyncio
import json
import sys

from sandboxd.host import Settings, probe_host
from sandboxd.model.job import Job
from sandboxd.runtime.supervisor import Supervisor


async def main(count: int) -> None:
    """Start them all and wait."""
    awaited = count
    all_run = asyncio.Event()

    def started(_stream: int, _piece: bytes) -> None:
        nonlocal awaited
        awaited -= 1
        if awaited == 0:
            all_run.set()

    script = "trap '' TERM INT HUP; sleep 300 & echo; wait"
    job = Job(argv=("/bin/sh", "-c", script))
    async with Supervisor(probe_host(Settings())) as supervisor:
        jobs = [asyncio.create_task(supervisor.run(job, on_output=started)) for _ in range(count)]
        await all_run.wait()
        cgroups = list(supervisor._tree.paths.values())  # noqa: SLF001 - the test looks for them
        print(json.dumps(cgroups), flush=True)  # noqa: T201 - the test waits for it
        await asyncio.gather(*jobs)


asyncio.run(main(int(sys.argv[1])))
