"""Measures how far programs get beyond their limits, and how well memory is accounted.

python benchmarks/overshoot.py
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from common import Figures, describe_machine, distribution, machine, run_benchmark
from rich.console import Console
from rich.table import Table

import sandboxd

RUNS = 20
MIB = 1 << 20
MILLISECOND = timedelta(milliseconds=1)
LIMIT = timedelta(milliseconds=200)
SPIN = ("python3", "-c", "while True: pass")
SLEEP = ("sleep", "60")
TOUCH = ("python3", "-c", "import sys; held = b'x' * int(sys.argv[1])")
TOUCHED_MIB = (16, 64, 192)


def ended_by(limit: str, result: sandboxd.RunResult) -> sandboxd.Usage:
    """Give what a run used; stop everything when something else ended it."""
    if result.ending != sandboxd.LimitExceeded(limit):
        raise SystemExit(f"cannot measure: {result.ending} instead of {limit}")
    return result.usage


def cpu_overshoot() -> float:
    """Spin against a CPU limit; give the milliseconds beyond it."""
    usage = ended_by("cpu_time", sandboxd.run(SPIN, limits=sandboxd.Limits(cpu_time=LIMIT)))
    return (usage.cpu_time - LIMIT) / MILLISECOND


def wall_overshoot() -> float:
    """Sleep against a wall clock limit; give the milliseconds beyond it."""
    usage = ended_by("wall_time", sandboxd.run(SLEEP, limits=sandboxd.Limits(wall_time=LIMIT)))
    return (usage.wall_time - LIMIT) / MILLISECOND


def peak_mib(touched: int) -> float:
    """Touch some bytes of memory; give the peak that is accounted."""
    result = sandboxd.run((*TOUCH, str(touched)))
    if result.ending != sandboxd.Exited(0):
        raise SystemExit(f"cannot measure: {result.ending}")
    return result.usage.peak_memory_bytes / MIB


def measure() -> dict[str, Any]:
    """Run everything, print two tables."""
    print(describe_machine(found := machine()))
    overshoot = {
        name: distribution([once() for _ in range(RUNS)])
        for name, once in (("cpu_time", cpu_overshoot), ("wall_time", wall_overshoot))
    }
    bare = distribution([peak_mib(0) for _ in range(RUNS)])["p50"]
    memory = {
        str(touched): distribution([peak_mib(touched * MIB) - bare - touched for _ in range(RUNS)])
        for touched in TOUCHED_MIB
    }
    print_distributions(f"beyond a limit of {LIMIT / MILLISECOND:.0f} ms, in ms", overshoot)
    title = f"accounted beyond MiB touched and the interpreter's own {bare:.1f} MiB, in MiB"
    print_distributions(title, memory)
    return {
        "machine": found,
        "overshoot_ms": overshoot,
        "interpreter_mib": bare,
        "accounted_beyond_touched_mib": memory,
    }


def print_distributions(title: str, rows: dict[str, Figures]) -> None:
    """Print a row a distribution."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in next(iter(rows.values())):
        table.add_column(heading, justify="right")
    for name, figures in rows.items():
        values = (
            f"{value:.0f}" if key == "count" else f"{value:.2f}" for key, value in figures.items()
        )
        table.add_row(name, *values)
    Console(width=100).print(table)


if __name__ == "__main__":
    run_benchmark("overshoot", measure)
