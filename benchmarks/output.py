"""Measures how fast output is drained, what it costs the daemon, and what others notice of it.

    python benchmarks/output.py

One C program writes much in large pieces, or in crumbs of one byte from many processes, far more
than is kept. The daemon is this process: its processor time is that of all its threads, its memory
the highest resident size during the run beyond that before. Beside it the same program outside,
emptied by a process that does nothing else. While floods run, short jobs take their turn as well.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Figures, describe_machine, distribution, is_quick, machine, run_benchmark
from tables import print_distributions

from sandboxd.host import probe_host
from sandboxd.model.job import InputFile, Job
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited
from sandboxd.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from sandboxd.model.outcome import RunResult

MIB = 1 << 20
GIB = 1 << 30
ROUNDS = 2 if is_quick() else 7
SHORT_JOBS = 60
"""How many short jobs are timed beside each flood, and without one."""
KEPT = 1 * MIB
LIMITS = Limits(output_bytes=KEPT, cpu_time=timedelta(seconds=60), wall_time=timedelta(seconds=60))
CRUMBS = 300_000
"""Bytes that each writer of crumbs writes, one by one."""
CASES = {
    "1 GiB by 64 KiB": ("65536", str(GIB), "1"),
    "1 GiB by 4 KiB": ("4096", str(GIB), "1"),
    "1 writer of crumbs": ("1", str(CRUMBS), "1"),
    "16 writers of crumbs": ("1", str(CRUMBS), "16"),
}
"""Bytes a piece, bytes in all, writers."""
ENDLESS = ("1", str(1 << 62), "16")

SOURCE = r"""
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    size_t piece = atol(argv[1]);
    long left = atol(argv[2]);
    char *bytes = calloc(1, piece);
    for (int more = atoi(argv[3]) - 1; more > 0; more--)
        if (fork() == 0)
            break;
    while (left > 0) {
        ssize_t count = write(1, bytes, piece);
        if (count < 0)
            return 1;
        left -= count;
    }
    while (wait(NULL) > 0)
        ;
    return 0;
}
"""


@dataclass(slots=True)
class Drained:
    """What one flood was and cost."""

    gigabytes_a_second: float
    daemon_cpu_share: float
    """Of one processor, over the time that the program ran."""
    grown_mib: float


def compiled(directory: str) -> bytes:
    """Compile the writer."""
    source, binary = Path(directory, "writer.c"), Path(directory, "writer")
    source.write_text(SOURCE)
    subprocess.run(["cc", "-O2", "-static", "-o", binary, source], check=True)
    return binary.read_bytes()


def resident_mib(field: str) -> float:
    """Read VmRSS or VmHWM of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"cannot measure: /proc has no {field}")


def forget_peak() -> None:
    """Begin a new VmHWM."""
    Path("/proc/self/clear_refs").write_text("5")


def processor_time() -> float:
    """Give the seconds that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Daemon:
    """A supervisor in this process, and the program that it runs."""

    def __init__(self, supervisor: Supervisor, writer: bytes) -> None:
        """Take both."""
        self._supervisor = supervisor
        self._files = (InputFile("writer", writer, executable=True),)

    def flood(self, arguments: tuple[str, ...]) -> Any:  # noqa: ANN401 - a coroutine
        """Run the writer."""
        argv = ("./writer", *arguments)
        return self._supervisor.run(Job(argv=argv, files=self._files, limits=LIMITS))

    async def drain(self, arguments: tuple[str, ...]) -> Drained:
        """Run the writer to its end; measure this process meanwhile."""
        forget_peak()
        before, used = resident_mib("VmRSS"), processor_time()
        result = await self.flood(arguments)
        used = processor_time() - used
        expected = int(arguments[1]) * int(arguments[2])
        check(result, expected)
        seconds = result.usage.wall_time.total_seconds()
        return Drained(
            gigabytes_a_second=expected / seconds / 1e9,
            daemon_cpu_share=used / seconds,
            grown_mib=resident_mib("VmHWM") - before,
        )

    async def short_jobs(self) -> Figures:
        """Time short jobs, one after another, in milliseconds."""
        times = []
        for _ in range(SHORT_JOBS):
            began = time.perf_counter()
            await self._supervisor.run(Job(argv=("/bin/true",)))
            times.append((time.perf_counter() - began) * 1e3)
        return distribution(times)


def check(result: RunResult, expected: int) -> None:
    """Stop everything when a byte is missing, or one too many was kept."""
    told = result.ending, result.stdout.total_bytes, len(result.stdout.data)
    if told != (Exited(0), expected, min(expected, KEPT)):
        raise SystemExit(f"cannot measure: {told}")


def drain_outside(writer: str, arguments: tuple[str, ...]) -> float:
    """Run the writer outside and empty its pipe at once; give the gigabytes a second."""
    null_fd = os.open("/dev/null", os.O_WRONLY)
    began = time.perf_counter()
    with subprocess.Popen([writer, *arguments], stdout=subprocess.PIPE, pipesize=MIB) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        total = 0
        while count := os.splice(process.stdout.fileno(), null_fd, MIB):
            total += count
    os.close(null_fd)
    return total / (time.perf_counter() - began) / 1e9


async def measure_all(writer: bytes, path: str) -> dict[str, Any]:
    """Run every case in turns, then short jobs beside an endless flood and without."""
    drained: dict[str, list[Drained]] = {name: [] for name in CASES}
    outside: dict[str, list[float]] = {name: [] for name in CASES}
    async with Supervisor(probe_host()) as supervisor:
        daemon = Daemon(supervisor, writer)
        await daemon.short_jobs()  # to warm up
        for _ in range(ROUNDS):
            for name, arguments in CASES.items():
                drained[name].append(await daemon.drain(arguments))
                outside[name].append(drain_outside(path, arguments))
        quiet = await daemon.short_jobs()
        flood = asyncio.create_task(daemon.flood(ENDLESS))
        used, began = processor_time(), time.perf_counter()
        beside = await daemon.short_jobs()
        share = (processor_time() - used) / (time.perf_counter() - began)
        flood.cancel()
        await asyncio.wait([flood])
    return {
        "drained": {
            name: {
                "gigabytes_a_second": distribution([d.gigabytes_a_second for d in found]),
                "outside_gigabytes_a_second": distribution(outside[name]),
                "daemon_cpu_share": distribution([d.daemon_cpu_share for d in found]),
                "grown_mib": distribution([d.grown_mib for d in found]),
            }
            for name, found in drained.items()
        },
        "short_jobs_ms": {"without a flood": quiet, "beside 16 writers of crumbs": beside},
        "daemon_cpu_share_beside_flood": share,
    }


def measure() -> dict[str, Any]:
    """Run everything, print two tables."""
    print(describe_machine(found := machine()))
    with tempfile.TemporaryDirectory() as directory:
        writer = compiled(directory)
        results = asyncio.run(measure_all(writer, f"{directory}/writer"))
    for name, figures in results["drained"].items():
        print_distributions(f"{name}, {KEPT // MIB} MiB kept", figures)
    print_distributions("short jobs, in ms", results["short_jobs_ms"])
    return {"machine": found, **results}


if __name__ == "__main__":
    run_benchmark("output", measure)
