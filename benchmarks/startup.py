"""Measures what it takes to start `sandboxd` as a command, beside an interpreter that does nothing.

    python benchmarks/startup.py

All commands run in turns, round after round. Given are the wall clock, and the processor time of
the command and of what it waited for: that of the sandbox itself, a few milliseconds, is not in it.
Ratios are those of two runs of one round.
"""

from __future__ import annotations

import compileall
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import (
    ROOT,
    describe_machine,
    distribution,
    is_quick,
    machine,
    paired_ratio,
    run_benchmark,
)
from rich.console import Console
from rich.table import Table

ROUNDS = 100
SECONDS = 5.0 if is_quick() else 60.0
"""No round begins later than this."""
PYTHON = sys.executable
COMMAND = str(Path(PYTHON).with_name("sandboxd"))
BASE = "python -c pass"
TARGETS = {"sandboxd --help": 60, "sandboxd run -- /bin/true": 120}
"""Milliseconds of the wall clock."""
COMMANDS = {
    BASE: (PYTHON, "-c", "pass"),
    "sandboxd --help": (COMMAND, "--help"),
    "sandboxd run --help": (COMMAND, "run", "--help"),
    "sandboxd run -- /bin/true": (COMMAND, "run", "--", "/bin/true"),
    "python -m sandboxd run -- /bin/true": (PYTHON, "-m", "sandboxd", "run", "--", "/bin/true"),
}


@dataclass(slots=True)
class Times:
    """What the runs of one command took, in milliseconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, argv: tuple[str, ...]) -> None:
        """Run it once more, its output to nowhere."""
        quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        began = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=quiet)
        _, status, usage = os.wait4(pid, 0)
        self.wall.append((time.perf_counter() - began) * 1000)
        self.cpu.append((usage.ru_utime + usage.ru_stime) * 1000)
        if status:
            raise SystemExit(f"cannot measure: {' '.join(argv)} ended with {status:#x}")


def play() -> dict[str, Times]:
    """Warm up, and run the rounds, each beginning with another command."""
    for argv in COMMANDS.values():
        Times().add(argv)
    found = {name: Times() for name in COMMANDS}
    everyone = list(COMMANDS.items())
    began = time.monotonic()
    for number in range(ROUNDS):
        if time.monotonic() - began > SECONDS:
            break
        first = number % len(everyone)
        for name, argv in everyone[first:] + everyone[:first]:
            found[name].add(argv)
    return found


def measure() -> dict[str, Any]:
    """Run everything, print the table."""
    print(describe_machine(found := machine()))
    times = play()
    rows = {
        name: {
            "wall_ms": distribution(one.wall),
            "cpu_ms": distribution(one.cpu),
            "wall_over_python": paired_ratio(one.wall, times[BASE].wall),
        }
        for name, one in times.items()
    }
    print_table(rows)
    return {"machine": found, "targets_ms": TARGETS, "commands": rows}


def print_table(rows: dict[str, Any]) -> None:
    """Print a row a command."""
    table = Table(title="milliseconds from start to end", title_justify="left")
    table.add_column("command")
    headings = ("rounds", "min", "p50", "p99", "target", "CPU min", "CPU p50", f"÷ {BASE}")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        wall, cpu, ratio = row["wall_ms"], row["cpu_ms"], row["wall_over_python"]
        target = f"≤ {TARGETS[name]}" if name in TARGETS else ""
        times = (f"{wall[key]:.1f}" for key in ("min", "p50", "p99"))
        spent = (f"{cpu[key]:.1f}" for key in ("min", "p50"))
        table.add_row(
            name, f"{wall['count']:.0f}", *times, target, *spent, f"{ratio['median']:.1f}"
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    if os.access(ROOT / "sandboxd", os.W_OK):  # as an installation would, for those who may not
        compileall.compile_dir(ROOT / "sandboxd", quiet=1)
    run_benchmark("startup", measure)
