"""`sandboxd serve --jobs`: where jobs are kept, from root's hands to the server's."""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.cli.keptblobs import make_place
from sandboxd.jobs.store import JobStore
from sandboxd.server.parts import part
from sandboxd.server.webhooks import is_installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandboxd.cli.config import Config
    from sandboxd.host import Host
    from sandboxd.server.seat import Seat


def prepare_jobs(config: Config, host: Host) -> None:
    """Make the directory of jobs, if there is to be one, and import what webhooks need.

    Raises:
        HostError: it lies where every job can read, or cannot be made.

    """
    if config.jobs is not None:
        make_place(config.jobs, host, "jobs")
    if config.job_webhooks and is_installed():
        importlib.import_module("httpx")


@contextmanager
def kept_jobs(config: Config, seat: Seat | None) -> Iterator[JobStore | None]:
    """Open the store while the context lasts, if there is to be one.

    All workers share it; as many jobs may wait by each as is its part.

    Raises:
        HostError: it cannot be used.

    """
    if config.jobs is None:
        yield None
        return
    index, count = (seat.index, seat.count) if seat else (0, 1)
    store = JobStore(
        Path(os.path.realpath(config.jobs)),
        max_bytes=config.job_bytes,
        queue_length=max(1, part(config.job_queue, index, count)),
        keep_time=config.job_keep_time,
    )
    try:
        yield store
    finally:
        store.close()
