"""Measures what is said to programs and among them while they run.

    python benchmarks/live.py

Two programs exchange lines: joined by the pipes of a group, by recorded ones, and outside by two
plain pipes, in turn. Then a gigabyte goes into a program by Attach, and one comes out: from and to
a client in this process, through a server of its own, whose memory is watched. The command that
reads and writes is the same inside and outside.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import servers
from common import describe_machine, distribution, is_quick, machine, paired_ratio, run_benchmark
from rich.console import Console
from rich.table import Table

from sandboxd.client import Client
from sandboxd.model.group import End, Group, Member, Pipe
from sandboxd.model.job import InputFile, Job
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 2 if is_quick() else 11
LINES = 5_000 if is_quick() else 25_000
"""There and back: twice as many in all."""
LIVE_MIB = 64 if is_quick() else 1024
LIMITS = Limits(cpu_time=timedelta(minutes=5), wall_time=timedelta(minutes=5))

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    char line[64];
    long left = argc > 1 ? atol(argv[1]) : -1;
    if (left > 0)
        printf("%ld\n", left), fflush(stdout);
    while (left && fgets(line, sizeof line, stdin)) {
        if (left > 0 && !--left)
            break;
        printf("%ld\n", left > 0 ? left : atol(line)), fflush(stdout);
    }
    return left > 0;
}
"""
"""With a number: says a line and waits for one, so often. Without: answers each."""


def compiled(directory: str) -> Path:
    """Compile the program, which needs no library inside."""
    source, binary = Path(directory, "talk.c"), Path(directory, "talk")
    source.write_text(SOURCE)
    subprocess.run(["cc", "-O2", "-static", "-o", binary, source], check=True)
    return binary


def talk_outside(binary: Path) -> float:
    """Run both outside, joined by two plain pipes; give the seconds."""
    to_first, from_second = os.pipe()
    to_second, from_first = os.pipe()
    began = time.perf_counter()
    first = subprocess.Popen([binary, str(LINES)], stdin=to_first, stdout=from_first)
    second = subprocess.Popen([binary], stdin=to_second, stdout=from_second)
    for fd in (to_first, from_second, to_second, from_first):
        os.close(fd)
    if first.wait() or second.wait():
        raise SystemExit("cannot measure: a program failed outside")
    return time.perf_counter() - began


async def talk_inside(client: Client, content: bytes, record_bytes: int) -> float:
    """Run both as a group; give the seconds from the later start to the later end."""
    file = InputFile("talk", content, executable=True)

    def member(name: str, *arguments: str) -> Member:
        return Member(name, Job(argv=("./talk", *arguments), files=(file,), limits=LIMITS))

    pipes = (
        Pipe(writer=End("first", 1), reader=End("second", 0), record_bytes=record_bytes),
        Pipe(writer=End("second", 1), reader=End("first", 0), record_bytes=record_bytes),
    )
    group = Group(members=(member("first", str(LINES)), member("second")), pipes=pipes)
    result = await client.run_group(group)
    if [member.result.ending for member in result.members] != [Exited(0)] * 2:
        raise SystemExit(f"cannot measure: {result}")
    return max(one.result.usage.wall_time.total_seconds() for one in result.members)


async def stream_in(client: Client) -> float:
    """Write so much to a program's input; give the gigabytes a second."""
    piece, wanted = os.urandom(MIB), hashlib.sha256()
    for _ in range(LIVE_MIB):
        wanted.update(piece)
    async with client.attach(["sha256sum"], limits=LIMITS) as program:
        began = time.perf_counter()
        for _ in range(LIVE_MIB):
            await program.write(piece)
        await program.end_input()
        told = b"".join([output.data async for output in program])
        seconds = time.perf_counter() - began
        check(await program.result(), told.split()[0] == wanted.hexdigest().encode())
    return LIVE_MIB * MIB / seconds / 1e9


async def stream_out(client: Client) -> float:
    """Read so much of a program's output; give the gigabytes a second."""
    argv = ["head", "-c", str(LIVE_MIB * MIB), "/dev/zero"]
    async with client.attach(argv, limits=LIMITS) as program:
        began, heard = time.perf_counter(), 0
        async for output in program:
            heard += len(output.data)
        seconds = time.perf_counter() - began
        check(await program.result(), heard == LIVE_MIB * MIB)
    return heard / seconds / 1e9


def check(result: Any, is_right: bool) -> None:  # noqa: ANN401, FBT001 - RunResult, and what is told
    """Stop everything when something is missing."""
    if result.ending != Exited(0) or not is_right:
        raise SystemExit(f"cannot measure: {result.ending}, {is_right}")


def forget_peak(pid: int) -> float:
    """Begin a new VmHWM; give it."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_mib(pid)


def peak_mib(pid: int) -> float:
    """Read the highest resident size of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("cannot measure: /proc has no VmHWM")


async def measure_streams(client: Client, pid: int) -> dict[str, Any]:
    """Stream both ways once; the server has run jobs before, so that it has grown to its size."""
    found: dict[str, Any] = {}
    streams: dict[str, Callable[[Client], Any]] = {"in": stream_in, "out": stream_out}
    for name, stream in streams.items():
        before = forget_peak(pid)
        speed = await stream(client)
        found[name] = {"gigabytes_a_second": speed, "grown_mib": peak_mib(pid) - before}
    return found


async def measure_all(binary: Path, content: bytes, unix: str, pid: int) -> dict[str, Any]:
    """Have the programs talk in turn, then stream."""
    seconds: dict[str, list[float]] = {"outside": [], "group": [], "recorded": []}
    async with Client(unix) as client:
        await talk_inside(client, content, 0)
        for _ in range(ROUNDS):
            seconds["outside"].append(talk_outside(binary))
            seconds["group"].append(await talk_inside(client, content, 0))
            seconds["recorded"].append(await talk_inside(client, content, 16 * MIB))
        streams = await measure_streams(client, pid)
    return {
        "lines": 2 * LINES,
        "seconds": {name: distribution(found) for name, found in seconds.items()},
        "over_outside": {
            name: paired_ratio(seconds[name], seconds["outside"]) for name in ("group", "recorded")
        },
        "streamed_mib": LIVE_MIB,
        "streams": streams,
    }


def measure() -> dict[str, Any]:
    """Measure all of it; print it as well."""
    found = machine()
    with tempfile.TemporaryDirectory() as directory, servers.serving() as (_, unix):
        binary = compiled(directory)
        results = asyncio.run(measure_all(binary, binary.read_bytes(), unix, servers.pid_of(unix)))
    show(results, describe_machine(found))
    return {"machine": found, **results}


def show(results: dict[str, Any], about: str) -> None:
    """Print both tables."""
    console = Console(width=120)
    table = Table(title=f"{results['lines']} lines between two programs", title_justify="left")
    for heading in ("joined by", "seconds, median", "÷ plain pipes outside"):
        table.add_column(heading)
    for name, figures in results["seconds"].items():
        ratio = results["over_outside"].get(name)
        shown = f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})" if ratio else ""
        table.add_row(name, f"{figures['p50']:.3f}", shown)
    console.print(table)
    table = Table(title=f"{results['streamed_mib']} MiB by Attach", title_justify="left")
    for heading in ("which way", "GB/s", "the server grew by, MiB"):
        table.add_column(heading)
    for name, stream in results["streams"].items():
        table.add_row(name, f"{stream['gigabytes_a_second']:.2f}", f"{stream['grown_mib']:.1f}")
    console.print(table)
    console.print(about)


if __name__ == "__main__":
    run_benchmark("live", measure)
