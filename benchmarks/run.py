"""Measures `/bin/true` in a fresh sandbox, by every way, beside bwrap and a plain fork-exec.

    python benchmarks/run.py

All contestants run in turns, round after round, so that whatever else the machine does hits all of
them alike: compare within one run, not between runs. Takes less than a minute.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Figures, describe_machine, machine, percentile, run_benchmark
from rich.console import Console
from rich.table import Table

import sandboxd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROUNDS = 25
SECONDS = 45.0
"""No round begins later than this."""
PATIENCE = timedelta(seconds=20)
PROGRAM = "/bin/true"
BASE = "plain fork-exec"
BWRAP = (
    *("bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"),
    PROGRAM,
)
SANDBOXD = (sys.executable, "-m", "sandboxd")


@dataclass(slots=True)
class Contestant:
    """One way to run the program: what one round does, and what all rounds took so far."""

    name: str
    play: Callable[[], list[float]]
    """Runs one round; gives the seconds that each run took."""
    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0.0

    def round(self) -> None:
        """Run and record one round."""
        began = time.perf_counter()
        self.seconds += self.play()
        self.elapsed += time.perf_counter() - began

    def figures(self) -> Figures:
        """Give the times in milliseconds, and the throughput."""
        return {
            "runs": len(self.seconds),
            "p50_ms": round(percentile(self.seconds, 50) * 1000, 3),
            "p99_ms": round(percentile(self.seconds, 99) * 1000, 3),
            "jobs_per_second": round(len(self.seconds) / self.elapsed, 1),
        }


def spawn(argv: Sequence[str]) -> None:
    """Run a program as cheaply as this process can, and wait for it."""
    path = shutil.which(argv[0]) or argv[0]
    status = os.waitpid(os.posix_spawn(path, list(argv), os.environ), 0)[1]
    if status:
        raise SystemExit(f"cannot measure: {' '.join(argv)} ended with {status:#x}")


def embedded() -> None:
    """Run it in a sandbox of this process's own supervisor."""
    check(sandboxd.run([PROGRAM]))


def check(result: sandboxd.RunResult) -> None:
    """Stop everything when a run did not go well: its time would mean nothing."""
    if result.ending != sandboxd.Exited(0):
        raise SystemExit(f"cannot measure: {PROGRAM} ended with {result.ending}")


def one_by_one(run: Callable[[], None], count: int) -> list[float]:
    """Do something a number of times; give the seconds that each took."""
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return seconds


async def by_clients(clients: Sequence[sandboxd.Client], count: int) -> list[float]:
    """Let all clients run jobs at the same time, each one after the other."""

    async def work(client: sandboxd.Client) -> list[float]:
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            check(await client.run([PROGRAM]))
            seconds.append(time.perf_counter() - began)
        return seconds

    return [one for many in await asyncio.gather(*map(work, clients)) for one in many]


@contextmanager
def server() -> Iterator[str]:
    """Have a server of its own process; gives its address."""
    with tempfile.TemporaryDirectory() as directory:
        address = f"unix:{directory}/sandboxd.sock"
        log = Path(directory, "log")
        with log.open("w") as stream:
            process = subprocess.Popen([*SANDBOXD, "serve", "--listen", address], stderr=stream)
        try:
            await_server(process, address, log)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def await_server(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(sandboxd.HostError), sandboxd.SyncClient(address) as client:
            client.get_host(timeout=PATIENCE)
            return
        time.sleep(0.05)
    raise SystemExit(f"cannot measure: no server\n{log.read_text()}")


def contestants(loop: asyncio.AbstractEventLoop, clients: Sequence[sandboxd.Client]) -> list[Any]:
    """Name all that take part; bwrap only where it is installed and works."""

    def grpc(some: Sequence[sandboxd.Client], count: int) -> list[float]:
        return loop.run_until_complete(by_clients(some, count))

    whole_command = (*SANDBOXD, "run", "--", PROGRAM)
    found = [
        Contestant(BASE, partial(one_by_one, partial(spawn, (PROGRAM,)), 20)),
        Contestant("gRPC, 1 client", partial(grpc, clients[:1], 20)),
        Contestant(f"gRPC, {len(clients)} clients", partial(grpc, clients, 10)),
        Contestant("embedded sandboxd.run()", partial(one_by_one, embedded, 20)),
        Contestant(
            "sandboxd run, whole command", partial(one_by_one, partial(spawn, whole_command), 1)
        ),
    ]
    if shutil.which("bwrap"):
        if subprocess.run(BWRAP, capture_output=True, check=False).returncode == 0:
            found.insert(1, Contestant("bwrap", partial(one_by_one, partial(spawn, BWRAP), 10)))
        else:
            print("bwrap is installed, but does not work here")
    return found


def measure() -> dict[str, Any]:
    """Warm up, run the rounds, print the table."""
    print(describe_machine(found := machine()))
    with server() as address, asyncio.Runner() as runner:
        loop = runner.get_loop()
        stack = AsyncExitStack()
        clients = [
            loop.run_until_complete(stack.enter_async_context(sandboxd.Client(address)))
            for _ in range(8)
        ]
        everyone = contestants(loop, clients)
        for one in everyone:
            one.play()
        began = time.monotonic()
        for _ in range(ROUNDS):
            if time.monotonic() - began > SECONDS:
                break
            for one in everyone:
                one.round()
        loop.run_until_complete(stack.aclose())
    figures = {one.name: one.figures() for one in everyone}
    print_table(figures)
    return {"machine": found, "program": PROGRAM, "contestants": figures}


def print_table(figures: dict[str, Figures]) -> None:
    """Print a row a contestant."""
    table = Table(title=f"{PROGRAM}, each time in a fresh sandbox", title_justify="left")
    table.add_column("by")
    for heading in ("runs", "p50 ms", "p99 ms", "p99/p50", "jobs/s", "÷ fork-exec"):
        table.add_column(heading, justify="right")
    base = figures[BASE]["p50_ms"]
    for name, row in figures.items():
        table.add_row(
            name,
            f"{row['runs']:.0f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['p99_ms'] / row['p50_ms']:.1f}",
            f"{row['jobs_per_second']:.0f}",
            f"{row['p50_ms'] / base:.1f}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    run_benchmark("run", measure)
