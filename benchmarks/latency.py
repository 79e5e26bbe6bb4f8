"""Measures `/bin/true` by every way there is, one at a time: ours, processes, servers of others.

    python benchmarks/latency.py
    python benchmarks/latency.py --peer-http 127.0.0.1:5050 --peer-name NAME

All ways run in turns, each round beginning with another, so that whatever else the machine does
hits all alike; the first runs of each turn only warm caches. A ratio is that of the medians of two
turns of one round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clients
import peers
import servers
from common import describe_machine, distribution, is_quick, machine, paired_ratio, run_benchmark
from processes import PROGRAM, Run, others, spawn
from rich.console import Console
from rich.table import Table
from samples import interval

import sandboxd

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

ROUNDS = 40
SECONDS = 8.0 if is_quick() else 60.0
"""No round begins later than this."""
WARMING, OF_SERVER, OF_PROCESS, OF_COMMAND = 3, 50, 8, 1
"""Runs of a turn: not counted, and counted."""
OURS = "sandboxd, gRPC, TCP"
BASE, WHOLE = "fork-exec", "sandboxd run, whole"


@dataclass(slots=True)
class Way:
    """One way to run the program, and what all its turns took, in seconds."""

    name: str
    play: Callable[[int], clients.Measured]
    """Runs it so many times."""
    count: int
    total: clients.Measured = field(default_factory=clients.Measured)
    medians: list[float] = field(default_factory=list)

    def turn(self) -> None:
        """Warm up, run, record."""
        if self.count > WARMING:
            self.play(WARMING)
        found = self.play(self.count)
        self.total.add(found)
        self.medians.append(statistics.median(found.times))

    def figures(self) -> dict[str, Any]:
        """Give the times, the interval of the median, and our own share, in milliseconds."""
        milliseconds = [1000 * one for one in self.total.times]
        return {
            "ms": distribution(milliseconds),
            "p50_interval_ms": interval(milliseconds),
            "client_cpu_ms": round(1000 * self.total.client_cpu / len(milliseconds), 3),
        }


def play(run: Run, count: int) -> clients.Measured:
    """Run a process a number of times."""
    found = clients.Measured()
    for _ in range(count):
        began = time.perf_counter()
        run()
        found.times.append(time.perf_counter() - began)
    return found


def embedded() -> None:
    """Run it in a sandbox of this process's own supervisor."""
    result = sandboxd.run([PROGRAM])
    if result.ending != sandboxd.Exited(0):
        raise SystemExit(f"cannot measure: {PROGRAM} ended with {result.ending}")


def ways(runner: asyncio.Runner, some: Sequence[servers.Server], runs: dict[str, Run]) -> list[Way]:
    """Name all that take part."""
    command = str(Path(sys.executable).with_name("sandboxd"))

    def by_server(server: servers.Server) -> Way:
        run_job = runner.run(server.connect())
        return Way(server.name, lambda n: runner.run(clients.run_count(run_job, n)), OF_SERVER)

    return [
        Way(BASE, partial(play, partial(spawn, (PROGRAM,))), OF_PROCESS),
        *(Way(name, partial(play, run), OF_PROCESS) for name, run in runs.items()),
        *map(by_server, some),
        Way("sandboxd.run(), embedded", partial(play, embedded), OF_PROCESS),
        Way(WHOLE, partial(play, partial(spawn, (command, "run", "--", PROGRAM))), OF_COMMAND),
    ]


def play_rounds(everyone: list[Way]) -> None:
    """Let all run in turns: one round to warm up, then those that count."""
    for one in everyone:
        one.play(one.count)
    began = time.monotonic()
    for number in range(ROUNDS):
        if time.monotonic() - began > SECONDS:
            break
        first = number % len(everyone)
        for one in everyone[first:] + everyone[:first]:
            one.turn()


def measure() -> dict[str, Any]:
    """Run everything, print the table."""
    parser = argparse.ArgumentParser()
    peers.add_options(parser)
    options, _ = parser.parse_known_args()
    print(describe_machine(found := machine()))
    with servers.serving() as (tcp, unix), clients.runner() as runner, others() as (runs, absent):
        some = [servers.ours(OURS, tcp), servers.ours("sandboxd, gRPC, unix", unix)]
        theirs = peers.peers(options)
        everyone = ways(runner, [*some, *theirs], runs)
        play_rounds(everyone)
    (ours,) = (one for one in everyone if one.name == OURS)
    results: dict[str, Any] = {
        "ways": {one.name: one.figures() for one in everyone},
        "ours_over": {
            one.name: paired_ratio(ours.medians, one.medians) for one in everyone if one is not ours
        },
        "peers": [one.name for one in theirs],
        "absent": absent,
    }
    print_table(results)
    return {"machine": found, "program": PROGRAM, "rounds": len(ours.medians), **results}


def print_table(results: dict[str, Any]) -> None:
    """Print a row a way."""
    table = Table(title=f"{PROGRAM}, one at a time, in milliseconds", title_justify="left")
    table.add_column("by")
    for heading in ("runs", "p50", "95 %", "p99", "our client's CPU", f"{OURS} ÷ it"):
        table.add_column(heading, justify="right")
    for name, row in results["ways"].items():
        low, high = row["p50_interval_ms"]
        over = results["ours_over"].get(name)
        table.add_row(
            name,
            f"{row['ms']['count']:.0f}",
            f"{row['ms']['p50']:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{row['ms']['p99']:.2f}",
            f"{row['client_cpu_ms']:.2f}" if row["client_cpu_ms"] else "",
            f"{over['median']:.2f} ({over['low']:.2f} to {over['high']:.2f})" if over else "",
        )
    Console(width=120).print(table)
    for name, reason in results["absent"].items():
        print(f"without {name}: {reason}")


if __name__ == "__main__":
    run_benchmark("latency", measure)
