"""Measures what the filter and Landlock cost a program that does nothing but call the kernel.

    python benchmarks/fence.py

One C program, which times itself, asks for its parent over and over, or opens and closes a file.
It runs in a sandbox, in one without Landlock, in one without the filter, and outside: under a
filter that allows all, the cheapest there is, and bare. All on one processor and in turns, each
round beginning with another, so that whatever else the machine does hits all alike. A ratio is that
of two runs of one round; given are the median of all rounds, and the interval that holds the true
one with a confidence of 95 %. Takes less than a minute.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import subprocess
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from common import Figures, describe_machine, distribution, machine, run_benchmark
from rich.console import Console
from rich.table import Table

import sandboxd
from sandboxd import plan

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sandboxd.model.tape import Tape

ROUNDS = 101
SECONDS = 45.0
"""No round begins later than this."""
CALLS = {"getppid": 200_000, "open and close": 20_000}
"""How often a program makes its call in one run."""
FILE = "/usr/bin/env"
"""What is opened: in a sandbox it is the very same file as outside."""
SANDBOX, OUTSIDE, FILTERED = "sandbox", "outside", "outside, any filter"
WITHOUT = {"without Landlock": "landlock", "without the filter": "seccomp"}
"""Sandboxes that lack a stage of docs/stages.md."""
PLACES = (SANDBOX, *WITHOUT, FILTERED, OUTSIDE)
TARGET = 1.10

SOURCE = r"""
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e9 + at.tv_nsec;
}

static void allow_all(void) {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &allow};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        exit(1);
}

static void call(const char *file) {
    if (!*file) {
        getppid();
        return;
    }
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || close(fd))
        exit(1);
}

int main(int count, char **words) {
    long calls = atol(words[1]);
    const char *file = words[2];
    if (count > 3)
        allow_all();
    for (long n = 0; n < calls / 10; n++)
        call(file);
    double began = now();
    for (long n = 0; n < calls; n++)
        call(file);
    printf("%.3f\n", (now() - began) / calls);
}
"""
"""Takes how many calls, a file or "", and a word to be filtered; prints nanoseconds a call."""


@dataclass(frozen=True, slots=True)
class Program:
    """The compiled program: where it lies, and its bytes, which a sandbox is given."""

    path: Path
    content: bytes

    @classmethod
    def compiled_in(cls, directory: str) -> Program:
        """Compile it."""
        path = Path(directory, "calls")
        command = ["cc", "-O2", "-x", "c", "-o", str(path), "-"]
        subprocess.run(command, input=SOURCE, text=True, check=True)
        return cls(path, path.read_bytes())

    def run(self, call: str, place: str) -> float:
        """Run it once; give the nanoseconds that a call took."""
        arguments = (str(CALLS[call]), "" if call == "getppid" else FILE)
        if place == FILTERED:
            return self._outside((*arguments, "filter"))
        return self._outside(arguments) if place == OUTSIDE else self._inside(arguments, place)

    def _outside(self, arguments: tuple[str, ...]) -> float:
        """Run it as any program, on the processor that a lone job gets."""
        processor = str(min(os.sched_getaffinity(0)))
        command = ("taskset", "--cpu-list", processor, str(self.path), *arguments)
        return float(subprocess.run(command, capture_output=True, check=True).stdout)

    def _inside(self, arguments: tuple[str, ...], place: str) -> float:
        files = (sandboxd.InputFile("calls", self.content, executable=True),)
        with lacking(WITHOUT[place]) if place in WITHOUT else nullcontext():
            result = sandboxd.run(("./calls", *arguments), files=files)
        if result.ending != sandboxd.Exited(0):
            raise SystemExit(f"cannot measure: {result.ending}, {result.stderr.data!r}")
        return float(result.stdout.data)


def lacking(stage: str) -> AbstractContextManager[object]:
    """Have plans without a stage of what happens before exec: the product has no switch for it."""
    whole = plan.program_tape

    def program_tape(*given: Any) -> Tape:  # noqa: ANN401 - as the product passes it on
        tape = whole(*given)
        kept = tuple(operation for operation in tape if operation.stage != stage)
        if len(kept) == len(tape):
            raise ValueError(f"on this host no sandbox has the stage {stage}")
        return kept

    return mock.patch.object(plan, "program_tape", program_tape)


def play(program: Program) -> dict[str, dict[str, list[float]]]:
    """Warm up, and run the rounds; give the nanoseconds by call and place."""
    found: dict[str, dict[str, list[float]]] = {call: {p: [] for p in PLACES} for call in CALLS}
    everyone = list(itertools.product(CALLS, PLACES))
    for call, place in everyone:
        program.run(call, place)
    began = time.monotonic()
    for number in range(ROUNDS):
        if time.monotonic() - began > SECONDS:
            break
        first = number % len(everyone)
        for call, place in everyone[first:] + everyone[:first]:
            found[call][place].append(program.run(call, place))
    return found


def ratio(over: list[float], under: list[float]) -> Figures:
    """Give the median ratio of the pairs, and the order statistics that hold it with 95 %."""
    ratios = sorted(one / other for one, other in zip(over, under, strict=True))
    count = len(ratios)
    reach = 1.96 * math.sqrt(count) / 2  # the binomial distribution of those below the median
    low = max(0, math.floor(count / 2 - reach) - 1)
    return {
        "median": round(statistics.median(ratios), 4),
        "low": round(ratios[low], 4),
        "high": round(ratios[count - 1 - low], 4),
    }


def measure() -> dict[str, Any]:
    """Run everything, print two tables."""
    print(describe_machine(found := machine()))
    with tempfile.TemporaryDirectory() as directory:
        nanoseconds = play(Program.compiled_in(directory))
    times = {
        call: {place: distribution(values) for place, values in places.items()}
        for call, places in nanoseconds.items()
    }
    ratios = {
        call: {place: ratio(places[SANDBOX], places[place]) for place in PLACES[1:]}
        for call, places in nanoseconds.items()
    }
    print_times(times)
    print_ratios(ratios)
    return {"machine": found, "file": FILE, "ns_per_call": times, "sandbox_over": ratios}


def print_times(rows: dict[str, dict[str, Figures]]) -> None:
    """Print the time of a call in each place."""
    table = Table(title="nanoseconds a call", title_justify="left")
    table.add_column("call")
    table.add_column("where")
    for heading in ("rounds", "min", "p50", "p90"):
        table.add_column(heading, justify="right")
    for call, places in rows.items():
        for place, row in places.items():
            values = (f"{row[key]:.0f}" for key in ("count", "min", "p50", "p90"))
            table.add_row(call, place, *values)
    Console(width=100).print(table)


def print_ratios(rows: dict[str, dict[str, Figures]]) -> None:
    """Print what a sandbox costs, compared with each of the other places."""
    title = f"a sandbox ÷ the same {', '.join(WITHOUT)}, and ÷ outside; target: ≤ {TARGET:.2f}"
    table = Table(title=title, title_justify="left")
    for heading in ("call", "÷", "median", "95 %"):
        table.add_column(heading)
    for call, places in rows.items():
        for place, row in places.items():
            interval = f"{row['low']:.3f} to {row['high']:.3f}"
            table.add_row(call, place, f"{row['median']:.3f}", interval)
    Console(width=100).print(table)


if __name__ == "__main__":
    run_benchmark("fence", measure)
