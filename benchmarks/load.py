"""Measures servers under load: jobs a second for clients without pause, times at a given rate.

    python benchmarks/load.py
    python benchmarks/load.py --peer-http 127.0.0.1:5050 --peer-name NAME

Every job is `/bin/true`. All servers take turns, each round beginning with another. The rates are
shares of what the same server managed without pause. Jobs are sent at even distances, whether or
not those before are done, and timed from when they were due: no wait of a client is lost.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import clients
import peers
import servers
from common import (
    describe_machine,
    distribution,
    is_quick,
    machine,
    median,
    paired_ratio,
    percentile,
    run_benchmark,
)
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

CLIENTS = 8
ROUNDS, SECONDS = (2, 1.0) if is_quick() else (10, 2.0)
SHARES = (0.5, 0.8) if is_quick() else (0.2, 0.5, 0.8, 0.9)
STEADY_ROUNDS, STEADY_SECONDS = (1, 1.5) if is_quick() else (3, 2.5)
"""For each server and share."""
WARMING = 0.3
"""Seconds of each turn that are not counted."""
OURS = "sandboxd, gRPC, TCP"


@dataclass(slots=True)
class Contestant:
    """A server, the connections to it, and what was measured."""

    name: str
    connections: Sequence[servers.RunJob]
    rates: list[float] = field(default_factory=list)
    without_pause: clients.Measured = field(default_factory=clients.Measured)
    steady: dict[float, list[clients.Measured]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Jobs a second without pause: the median of the turns."""
        return percentile(self.rates, 50)

    async def race(self) -> None:
        """Run one turn without pause."""
        some = self.connections[:CLIENTS]
        await clients.run_for(some, WARMING)
        found = await clients.run_for(some, SECONDS)
        self.rates.append(found.rate)
        self.without_pause.add(found)

    async def pace(self, share: float) -> None:
        """Run one turn at a share of the rate."""
        await clients.run_at(self.connections, self.rate * share, WARMING)
        found = await clients.run_at(self.connections, self.rate * share, STEADY_SECONDS)
        self.steady.setdefault(share, []).append(found)

    def figures(self) -> dict[str, Any]:
        """Give everything; times in milliseconds."""
        return {
            "jobs_per_second": median(self.rates),
            "ms": distribution(_milliseconds(self.without_pause.times)),
            "client_cpu_ms": _client_cpu_ms(self.without_pause),
            "client_cpu_share": round(
                self.without_pause.client_cpu / self.without_pause.elapsed, 3
            ),
            "steady": [_steady(share, turns) for share, turns in sorted(self.steady.items())],
        }


def _steady(share: float, turns: list[clients.Measured]) -> dict[str, Any]:
    """Give what all turns at one rate say together, and the median of their p99 ÷ p50."""
    total = clients.Measured()
    for one in turns:
        total.add(one)
    tails = [percentile(one.times, 99) / percentile(one.times, 50) for one in turns]
    return {
        "share": share,
        "jobs_per_second": round(total.rate, 1),
        "ms": distribution(_milliseconds(total.times)),
        "p99_over_p50": median(tails),
        "client_cpu_ms": _client_cpu_ms(total),
        "sent_late_ms": distribution(_milliseconds(total.lateness)),
    }


def _client_cpu_ms(found: clients.Measured) -> float:
    return round(1000 * found.client_cpu / len(found.times), 3)


def _milliseconds(seconds: Sequence[float]) -> list[float]:
    return [1000 * one for one in seconds]


async def connect(server: servers.Server) -> Contestant:
    """Open all connections to a server."""
    some = [await server.connect() for _ in range(clients.OPEN_CONNECTIONS)]
    return Contestant(server.name, some)


def play(runner: asyncio.Runner, everyone: list[Contestant]) -> None:
    """Let all run in turns: first without pause, then at rates that follow from that."""
    for one in everyone:
        runner.run(clients.run_for(one.connections[:CLIENTS], WARMING))
    for number in range(ROUNDS):
        for one in _beginning_with(number, everyone):
            runner.run(one.race())
    for number in range(STEADY_ROUNDS):
        for share in SHARES:
            for one in _beginning_with(number, everyone):
                runner.run(one.pace(share))


def _beginning_with(number: int, everyone: list[Contestant]) -> list[Contestant]:
    first = number % len(everyone)
    return everyone[first:] + everyone[:first]


def measure() -> dict[str, Any]:
    """Run everything, print two tables."""
    parser = argparse.ArgumentParser()
    peers.add_options(parser)
    options, _ = parser.parse_known_args()
    print(describe_machine(found := machine()))
    with servers.serving() as (tcp, _), clients.runner() as runner:
        some = [servers.ours(OURS, tcp), *peers.peers(options)]
        everyone = [runner.run(connect(one)) for one in some]
        play(runner, everyone)
    ours = everyone[0]
    results: dict[str, Any] = {
        "clients": CLIENTS,
        "servers": {one.name: one.figures() for one in everyone},
        "ours_over": {one.name: paired_ratio(ours.rates, one.rates) for one in everyone[1:]},
    }
    print_rates(results)
    print_steady(results["servers"])
    return {"machine": found, "program": servers.PROGRAM, **results}


def print_rates(results: dict[str, Any]) -> None:
    """Print a row a server."""
    table = Table(title=f"{CLIENTS} clients without pause", title_justify="left")
    table.add_column("server")
    for heading in ("jobs/s", "95 %", "p50 ms", "p99 ms", "our clients' CPU ms", "ours ÷ it"):
        table.add_column(heading, justify="right")
    for name, row in results["servers"].items():
        rate, over = row["jobs_per_second"], results["ours_over"].get(name)
        table.add_row(
            name,
            f"{rate['median']:.0f}",
            f"{rate['low']:.0f} to {rate['high']:.0f}",
            f"{row['ms']['p50']:.2f}",
            f"{row['ms']['p99']:.2f}",
            f"{row['client_cpu_ms']:.2f}, {row['client_cpu_share']:.0%} of one",
            f"{over['median']:.2f} ({over['low']:.2f} to {over['high']:.2f})" if over else "",
        )
    Console(width=120).print(table)


def print_steady(rows: dict[str, Any]) -> None:
    """Print a row a server and rate."""
    table = Table(title="at a given rate, in milliseconds", title_justify="left")
    table.add_column("server")
    for heading in ("share", "jobs/s", "p50", "p99", "p99/p50", "our clients' CPU", "sent late"):
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        for steady in row["steady"]:
            table.add_row(
                name,
                f"{steady['share']:.0%}",
                f"{steady['jobs_per_second']:.0f}",
                f"{steady['ms']['p50']:.2f}",
                f"{steady['ms']['p99']:.2f}",
                f"{steady['p99_over_p50']['median']:.1f}",
                f"{steady['client_cpu_ms']:.2f}",
                f"{steady['sent_late_ms']['p99']:.2f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    run_benchmark("load", measure)
