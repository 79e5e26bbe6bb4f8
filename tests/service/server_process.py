"""A server to test against: prints its addresses as one line of JSON, serves until signalled.

A process of its own, because a supervisor started as root gives root up for good.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.host import Settings, probe_host
from sandboxd.runtime.supervisor import Supervisor
from sandboxd.server import audit
from sandboxd.server.serving import Server

if TYPE_CHECKING:
    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult


class Defect(Supervisor):
    """Injects a defect of our own whose text quotes what the client sent."""

    async def run(self, job: Job, **_: object) -> RunResult:
        """Fail as no code of ours should."""
        raise ZeroDivisionError(job.stdin.decode())


SUPERVISORS = {"none": Supervisor, "defect": Defect}


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", action="append", required=True)
    parser.add_argument("--slots", type=int)
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--grace", type=float)
    parser.add_argument("--root-bind", action="append", default=[])
    parser.add_argument("--fault", choices=SUPERVISORS, default="none")
    parser.add_argument("--callers")
    parser.add_argument("--audit")
    parser.add_argument("--log", help="Log all that there is to stderr, from this level on.")
    asked = parser.parse_args()
    if asked.log:
        logging.basicConfig(level=asked.log)
    if asked.audit:
        audit.write_to(audit.AuditFile(asked.audit))
    grace = None if asked.grace is None else timedelta(seconds=asked.grace)
    binds = tuple(asked.root_bind)
    settings = Settings(
        slot_count=asked.slots, queue_length=asked.queue, root_binds=binds, pool_size=2
    )
    host = probe_host(settings)
    async with (
        SUPERVISORS[asked.fault](host) as supervisor,
        Server(supervisor, asked.listen, grace=grace, callers=asked.callers) as server,
    ):
        sys.stdout.write(json.dumps(server.addresses) + "\n")
        sys.stdout.flush()
        await server.serve()


if __name__ == "__main__":
    asyncio.run(main())
