"""Measures what a sandbox costs programs that work for long: inside ÷ outside.

    python benchmarks/slowdown.py

One program only computes; the other is g++, with 20 000 lines of C++ to compile. Inside and
outside run in turns, on one processor, with the same files in memory; `fence.py` does the same for
programs that do nothing but call the kernel. A ratio is that of two runs of one round: by the wall
clock, inside from exec to the end, outside with the start of the process; and by processor time.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import (
    describe_machine,
    distribution,
    is_quick,
    machine,
    paired_ratio,
    run_benchmark,
)
from rich.console import Console
from rich.table import Table

import sandboxd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS = 4.0 if is_quick() else 30.0
"""For each program; no round begins later than this."""
ROUNDS = 31
LINES = 20_000
LIMITS = sandboxd.Limits(
    cpu_time=timedelta(seconds=120), memory_bytes=1 << 30, scratch_bytes=1 << 28
)
STEPS = 400_000_000
COMPUTING = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **words) {
    uint64_t state = count;
    for (long steps = atol(words[1]); steps > 0; steps--) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    printf("%llu\\n", (unsigned long long)state);
}
"""


@dataclass(frozen=True, slots=True)
class Used:
    """What one run took, in seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Work:
    """A command, and the files that it finds where it starts."""

    argv: tuple[str, ...]
    files: tuple[sandboxd.InputFile, ...]

    def inside(self) -> Used:
        """Run it in a sandbox."""
        result = sandboxd.run(self.argv, files=self.files, limits=LIMITS)
        if result.ending != sandboxd.Exited(0):
            raise SystemExit(f"cannot measure: {result.ending}, {result.stderr.data[-400:]!r}")
        usage = result.usage
        return Used(usage.wall_time.total_seconds(), usage.cpu_time.total_seconds())

    def outside(self) -> Used:
        """Run it as any program, on the processor that a lone job gets."""
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            for file in self.files:
                path = Path(directory, file.path)
                path.write_bytes(file.content)
                path.chmod(0o755 if file.executable else 0o644)
            return _timed(self.argv, directory)


def _timed(argv: Sequence[str], directory: str) -> Used:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": directory}
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})  # of this thread, so of the child, too
    began = time.perf_counter()
    process = subprocess.Popen(argv, cwd=directory, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    os.sched_setaffinity(0, allowed)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"cannot measure: {' '.join(argv)} ended with {status:#x}")
    return Used(wall, usage.ru_utime + usage.ru_stime)


def computing() -> Work:
    """Give the program that only computes."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "computing")
        command = ["cc", "-O2", "-x", "c", "-o", str(path), "-"]
        subprocess.run(command, input=COMPUTING, text=True, check=True)
        file = sandboxd.InputFile("computing", path.read_bytes(), executable=True)
    return Work(("./computing", str(STEPS)), (file,))


def compiling() -> Work:
    """Give the compiler, and a file of some headers, many classes and their use."""
    parts = ["#include <map>\n#include <string>\n#include <vector>\n"]
    each = 10  # lines
    parts += [
        f"struct Part{number} {{\n"
        f"    std::vector<int> held;\n"
        f"    int total(int by) const {{\n"
        f"        int sum = {number};\n"
        f"        for (int one : held)\n"
        f"            sum += one * by % {number + 2};\n"
        f"        return sum;\n"
        f"    }}\n"
        f"}};\n"
        f"int use{number}() {{ return Part{number}{{{{1, 2, {number}}}}}.total(3); }}\n"
        for number in range(LINES // each)
    ]
    file = sandboxd.InputFile("many.cpp", "".join(parts).encode())
    return Work(("g++", "-O0", "-c", "-o", "many.o", "many.cpp"), (file,))


WORKS: dict[str, Callable[[], Work]] = {"computing": computing, "compiling C++": compiling}


def play(work: Work) -> dict[str, list[Used]]:
    """Warm up, and run the rounds, the first half of each being now inside, now outside."""
    places: list[tuple[str, Callable[[], Used]]] = [
        ("inside", work.inside),
        ("outside", work.outside),
    ]
    found: dict[str, list[Used]] = {place: [] for place, _ in places}
    for _, run in places:
        run()
    began = time.monotonic()
    for _ in range(ROUNDS):
        if time.monotonic() - began > SECONDS:
            break
        places.reverse()
        for place, run in places:
            found[place].append(run())
    return found


def figures(found: dict[str, list[Used]]) -> dict[str, Any]:
    """Give the times and ratios by both clocks."""
    clocks: dict[str, Callable[[Used], float]] = {
        "wall": lambda one: one.wall,
        "cpu": lambda one: one.cpu,
    }
    seconds = {
        clock: {place: [read(one) for one in runs] for place, runs in found.items()}
        for clock, read in clocks.items()
    }
    return {
        clock: {
            **{place: distribution(values) for place, values in places.items()},
            "inside_over_outside": paired_ratio(places["inside"], places["outside"]),
        }
        for clock, places in seconds.items()
    }


def measure() -> dict[str, Any]:
    """Run everything, print the table."""
    print(describe_machine(found := machine()))
    works = {name: figures(play(make())) for name, make in WORKS.items()}
    print_table(works)
    return {"machine": found, "works": works}


def print_table(works: dict[str, Any]) -> None:
    """Print a row a program and clock."""
    table = Table(title="inside ÷ outside, seconds", title_justify="left")
    for heading in ("work", "clock"):
        table.add_column(heading)
    for heading in ("rounds", "inside", "outside", "inside ÷ outside", "95 %"):
        table.add_column(heading, justify="right")
    for name, clocks in works.items():
        for clock, row in clocks.items():
            ratio = row["inside_over_outside"]
            table.add_row(
                name,
                clock,
                f"{row['inside']['count']:.0f}",
                f"{row['inside']['p50']:.3f}",
                f"{row['outside']['p50']:.3f}",
                f"{ratio['median']:.3f}",
                f"{ratio['low']:.3f} to {ratio['high']:.3f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    run_benchmark("slowdown", measure)
