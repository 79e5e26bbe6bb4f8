"""Measures what the filter and Landlock cost a program that does nothing but call the kernel.

    python benchmarks/fence.py

One C program, which times itself, makes the same call over and over: from the cheapest there is,
which does nothing at all, to those that programs spend their time with. It runs in a sandbox, in
one without Landlock, in one without the filter, and outside: under a filter that allows all, the
cheapest there is, and bare. Its files lie in memory, in all places. All on one processor and in
turns, each round beginning with another, so that whatever else the machine does hits all alike. A
ratio is that of two runs of one round, by processor time; given are the median of all rounds, and
the interval that holds the true one with a confidence of 95 %. Takes two minutes.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from common import (
    Figures,
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
from sandboxd.plan import plan_run as whole_plan

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sandboxd.plan import Plan

ROUNDS = 101
SECONDS = 15.0 if is_quick() else 120.0
"""No round begins later than this."""
CALLS = {
    "getppid": 200_000,
    "read 64 B": 50_000,
    "read 4 KiB": 40_000,
    "write 4 KiB": 40_000,
    "pipe 4 KiB": 20_000,
    "copy 4 KiB": 16_384,
    "stat": 20_000,
    "open and close": 20_000,
}
"""How often a program makes its call in one run; `copy` copies 64 MiB, by a read and a write each,
as cat(1) does; `pipe` writes to a pipe and reads it."""
FILE = "/usr/bin/env"
"""What is opened and looked at: in a sandbox it is the very same file as outside."""
MEMORY = "/dev/shm"
"""Where the program works outside: a tmpfs, as a sandbox's own space is."""
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
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, BLOCKS = 2048 };

static const char *path;
static int source, target, ends[2];
static char bytes[BLOCK];

static void must(int held) {
    if (!held) {
        perror("calls");
        exit(1);
    }
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return at.tv_sec * 1e9 + at.tv_nsec;
}

static void allow_all(void) {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &allow};
    must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    must(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void ask_parent(void) { getppid(); }
static void read_little(void) { must(pread(source, bytes, 64, 0) == 64); }
static void read_block(void) { must(pread(source, bytes, BLOCK, 0) == BLOCK); }
static void write_block(void) { must(pwrite(target, bytes, BLOCK, 0) == BLOCK); }

static void pass_block(void) {
    must(write(ends[1], bytes, BLOCK) == BLOCK);
    must(read(ends[0], bytes, BLOCK) == BLOCK);
}

static void copy_block(void) {
    ssize_t size = read(source, bytes, BLOCK);
    if (size == 0) {
        must(!lseek(source, 0, SEEK_SET) && !lseek(target, 0, SEEK_SET));
        size = read(source, bytes, BLOCK);
    }
    must(size == BLOCK && write(target, bytes, BLOCK) == BLOCK);
}

static void look(void) {
    struct stat found;
    must(!stat(path, &found));
}

static void open_and_close(void) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    must(fd >= 0 && !close(fd));
}

static const struct {
    const char *name;
    void (*call)(void);
} known[] = {
    {"getppid", ask_parent},   {"read 64 B", read_little},  {"read 4 KiB", read_block},
    {"stat", look},            {"write 4 KiB", write_block}, {"pipe 4 KiB", pass_block},
    {"copy 4 KiB", copy_block}, {"open and close", open_and_close},
};

static void prepare(void) {
    source = open("source", O_RDWR | O_CREAT | O_TRUNC, 0600);
    target = open("target", O_RDWR | O_CREAT | O_TRUNC, 0600);
    must(source >= 0 && target >= 0 && !pipe(ends));
    for (int block = 0; block < BLOCKS; block++)
        must(write(source, bytes, BLOCK) == BLOCK && write(target, bytes, BLOCK) == BLOCK);
    must(!lseek(source, 0, SEEK_SET) && !lseek(target, 0, SEEK_SET));
}

int main(int count, char **words) {
    long calls = atol(words[2]);
    void (*call)(void) = NULL;
    for (unsigned n = 0; n < sizeof known / sizeof *known; n++)
        if (!strcmp(known[n].name, words[1]))
            call = known[n].call;
    path = words[3];
    must(call != NULL);
    prepare();
    if (count > 4)
        allow_all();
    for (long n = 0; n < calls / 10; n++)
        call();
    double began = now();
    for (long n = 0; n < calls; n++)
        call();
    printf("%.3f\n", (now() - began) / calls);
}
"""
"""Takes a call, how often, a file, and a word to be filtered; prints nanoseconds a call."""


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
        arguments = (call, str(CALLS[call]), FILE)
        if place == FILTERED:
            return self._outside((*arguments, "filter"))
        return self._outside(arguments) if place == OUTSIDE else self._inside(arguments, place)

    def _outside(self, arguments: tuple[str, ...]) -> float:
        """Run it as any program, on the processor that a lone job gets."""
        processor = str(min(os.sched_getaffinity(0)))
        command = ("taskset", "--cpu-list", processor, str(self.path), *arguments)
        directory = self.path.parent
        done = subprocess.run(command, stdout=subprocess.PIPE, cwd=directory, check=True)
        return float(done.stdout)

    def _inside(self, arguments: tuple[str, ...], place: str) -> float:
        files = (sandboxd.InputFile("calls", self.content, executable=True),)
        with lacking(WITHOUT[place]) if place in WITHOUT else nullcontext():
            result = sandboxd.run(("./calls", *arguments), files=files)
        if result.ending != sandboxd.Exited(0):
            raise SystemExit(f"cannot measure: {result.ending}, {result.stderr.data!r}")
        return float(result.stdout.data)


def lacking(stage: str) -> AbstractContextManager[object]:
    """Have plans without a stage of what happens before exec: the product has no switch for it."""

    def plan_run(*given: Any) -> Plan:  # noqa: ANN401 - as the product passes it on
        plan = whole_plan(*given)
        kept = tuple(operation for operation in plan.program_tape if operation.stage != stage)
        if len(kept) == len(plan.program_tape):
            raise ValueError(f"on this host no sandbox has the stage {stage}")
        return replace(plan, program_tape=kept)

    return mock.patch("sandboxd.runtime.supervisor.plan_run", plan_run)


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


def measure() -> dict[str, Any]:
    """Run everything, print two tables."""
    print(describe_machine(found := machine()))
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        nanoseconds = play(Program.compiled_in(directory))
    times = {
        call: {place: distribution(values) for place, values in places.items()}
        for call, places in nanoseconds.items()
    }
    ratios = {
        call: {place: paired_ratio(places[SANDBOX], places[place]) for place in PLACES[1:]}
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
