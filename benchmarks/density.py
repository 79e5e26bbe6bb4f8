"""Fills one daemon with live sandboxes, some of them running programs, and destroys them all.

    python benchmarks/density.py                        # 5000, of which 2000 run a program
    LIVE=1000 RUNNING=400 python benchmarks/density.py

Started as root it raises the limit of descriptors for itself, where it may; it takes 2 for each
sandbox and 4 more for each job (LimitNOFILE=, ulimit -Hn).
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import watch
from common import describe_machine, machine, run_benchmark
from rich.console import Console
from rich.table import Table

from sandboxd.host import Settings, probe_host
from sandboxd.model.job import Job
from sandboxd.model.limits import DESCRIPTORS_PER_BLANK, DESCRIPTORS_PER_JOB, Limits
from sandboxd.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

LIVE = int(os.environ.get("LIVE", "5000"))
RUNNING = int(os.environ.get("RUNNING", str(LIVE * 2 // 5)))
PATIENCE = 120.0
"""Seconds after which a phase counts as stuck."""
REST_PATIENCE = 30.0
"""Seconds that we look at what the kernel frees late; other work may keep it from ever being so."""
LOOK = 0.005
CACHES = 12
PROGRAM = ("/bin/sh", "-c", "echo; exec sleep 600")
LIMITS = Limits(wall_time=timedelta(minutes=9))
SETTLED = 0.02
"""Of what sandboxes hold, so much may be left when the machine counts as at rest again."""


class Phases:
    """What each phase took, and what the machine held at its end."""

    def __init__(self) -> None:
        """Begin the first one."""
        self.seconds: dict[str, float] = {}
        self.counts: dict[str, watch.Counts] = {}
        self.caches: dict[str, watch.Counts] = {}
        self._began = time.perf_counter()

    def end(self, name: str) -> None:
        """End a phase, look at the machine, and begin the next."""
        self.seconds[name] = round(time.perf_counter() - self._began, 3)
        self.counts[name] = watch.of_kernel()
        self.caches[name] = watch.of_slab_caches()
        self._began = time.perf_counter()

    def grown(self, since: str, until: str) -> watch.Counts:
        """Tell what the machine holds more at the end of one phase than at that of another."""
        return watch.growth(self.counts[since], self.counts[until])

    def largest_caches(self, since: str, until: str) -> watch.Counts:
        """Name the kernel's caches that have grown most, in KiB."""
        grown = watch.growth(self.caches[since], self.caches[until])
        return dict(sorted(grown.items(), key=lambda item: -item[1])[:CACHES])


async def until(holds: Callable[[], bool], what: str) -> None:
    """Look until something holds; give up when it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"cannot measure: {what} took more than {PATIENCE:g} s")
        await asyncio.sleep(LOOK)


async def fill(phases: Phases) -> dict[str, Any]:
    """Make them, look at them, destroy them."""
    host = probe_host(Settings(slot_count=max(1, RUNNING), pool_size=LIVE - RUNNING))
    phases.end("probe")
    async with Supervisor(host) as supervisor:
        phases.end("start")
        supervisor.keep_ready(LIVE - RUNNING)
        await until(lambda: supervisor.ready_count == LIVE - RUNNING, "making blank sandboxes")
        phases.end("blank")
        started: list[int] = []
        job = Job(argv=PROGRAM, limits=LIMITS)
        runs = [
            asyncio.create_task(supervisor.run(job, on_output=lambda *_: started.append(1)))
            for _ in range(RUNNING)
        ]
        await until(lambda: len(started) == RUNNING or any(r.done() for r in runs), "programs")
        for run in runs:
            if run.done():
                raise SystemExit(f"cannot measure: a program ended: {run.result()}")
        await until(lambda: supervisor.ready_count == LIVE - RUNNING, "filling up")
        phases.end("running")
        held = look_at_daemon()
        phases.end("look")
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        phases.end("kill programs")
    phases.end("destroy")
    await at_rest(phases.counts["start"], phases.grown("start", "running"))
    phases.end("backlog")
    return held


def look_at_daemon() -> dict[str, Any]:
    """Read what the daemon, its helpers and a sample of the sandboxes hold."""
    pids = watch.descendants(os.getpid())
    groups = watch.of_processes(pids)
    sample = pids[:: max(1, len(pids) // 100)]
    sampled = watch.proportional_kib(sample)
    return {
        "daemon": watch.of_process(os.getpid()),
        "processes": groups,
        "proportional_kib_per_process": sampled and round(sampled / len(sample), 1),
    }


async def at_rest(before: watch.Counts, grown: watch.Counts) -> None:
    """Wait until what the kernel frees late is free: cgroups, net namespaces, memory."""
    names = {"cgroups", "memory_cgroups", "net_namespaces", "slab_unreclaimable_kib"} & set(grown)

    def left() -> bool:
        now = watch.growth(before, watch.of_kernel())
        return all(now[name] <= max(8, SETTLED * grown[name]) for name in names)

    deadline = time.monotonic() + REST_PATIENCE
    await until(lambda: left() or time.monotonic() > deadline, "coming to rest")


def measure() -> dict[str, Any]:
    """Fill and empty one daemon, print a table, give everything."""
    print(describe_machine(found := machine()))
    phases = Phases()
    held = asyncio.run(fill(phases))
    grown = phases.grown("start", "running")
    results = {
        "live": LIVE,
        "running": RUNNING,
        "seconds": phases.seconds,
        "seconds_until_all_live": round(phases.seconds["blank"] + phases.seconds["running"], 3),
        "memory_mib": round(-grown["memory_available_kib"] / 1024, 1),
        "memory_kib_per_sandbox": round(-grown["memory_available_kib"] / LIVE, 1),
        "held": held,
        "machine_grew_by": grown,
        "slab_kib_by_cache": phases.largest_caches("start", "running"),
        "left_when_destroyed": phases.grown("start", "destroy"),
        "left_at_rest": phases.grown("start", "backlog"),
    }
    print_table(results)
    return {"machine": found, "command": f"LIVE={LIVE} RUNNING={RUNNING} {COMMAND}", **results}


COMMAND = "python benchmarks/density.py"


def print_table(results: dict[str, Any]) -> None:
    """Print what counts."""
    table = Table(title=f"{LIVE} live sandboxes, {RUNNING} of them running", title_justify="left")
    table.add_column("")
    for heading in ("all live", "when destroyed", "at rest"):
        table.add_column(heading, justify="right")
    for name, value in results["machine_grew_by"].items():
        left = (results[when].get(name, 0) for when in ("left_when_destroyed", "left_at_rest"))
        table.add_row(f"{name}, grown by", str(value), *map(str, left))
    console = Console(width=100)
    console.print(table)
    console.print(results["seconds"], results["held"], results["slab_kib_by_cache"])
    console.print(
        f"all live after {results['seconds_until_all_live']} s, {results['memory_mib']} MiB, "
        f"{results['memory_kib_per_sandbox']} KiB each"
    )


def raise_descriptors() -> None:
    """As root, let ourselves have what so many sandboxes need."""
    needed = LIVE * DESCRIPTORS_PER_BLANK + RUNNING * DESCRIPTORS_PER_JOB + 1024
    if os.geteuid() == 0 and resource.getrlimit(resource.RLIMIT_NOFILE)[1] < needed:
        with suppress(ValueError):  # root of a container may not: then we are told how many fit
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))


if __name__ == "__main__":
    raise_descriptors()
    run_benchmark("density", measure, watch.open_as_root())
