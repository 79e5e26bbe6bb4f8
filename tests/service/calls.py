"""Calls that go on while a test does something else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandboxd.client import Client
    from sandboxd.model.outcome import RunResult


async def begun(client: Client, **job: Any) -> asyncio.Task[RunResult]:
    """Start a job; return when the server has taken it."""
    await client.get_host()  # connects
    task = asyncio.create_task(client.run(**job))
    await asyncio.sleep(0)
    await client.get_host()  # on the same connection, so answered after the job was received
    return task
