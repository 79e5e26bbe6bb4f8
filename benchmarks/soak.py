"""Runs mixed jobs for long through one server, at full load; says what has grown or went wrong.

    make soak                                       # 100 000 jobs
    python benchmarks/soak.py --jobs 2000 --seconds 300

Every ending and every answer is checked. Between rounds all clients pause, until nothing runs: what
is held then must be what was held after the warm-up. Fails for a wrong ending, a lost answer, a
server that ended, or anything left or grown; never for a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from random import Random
from typing import Any

import watch
from common import RESULT_VARIABLE, describe_machine, machine, result_path, run_benchmark
from jobmix import CLIENT, MILLISECOND, Kind, mix
from rich.console import Console
from rich.table import Table
from slopes import EXACT, Verdict, grown
from soakserver import SoakServer

import sandboxd

ROUNDS = 20
WARM_UP = 2
"""Rounds after which nothing may grow any more: a tenth."""
LOST = 60 * 1000 * MILLISECOND
"""After this, an answer counts as lost."""
LATE = "memory_cgroups"
LATE_LOOK = 2.0
"""Seconds between two looks at what the kernel gives back late."""
REST_PATIENCE = 30.0
LOOK = 0.25
"""Seconds between two looks: what has just ended leaves its cgroups a moment later."""
SAMPLING = 2.0
SHOWN_FAULTS = 40


class Soak:
    """The clients of one soak, and what they have seen."""

    def __init__(self, server: SoakServer, kinds: tuple[Kind, ...], seed: int) -> None:
        """Prepare; the same seed asks for the same jobs, in each client's own order."""
        self.server = server
        self.faults: list[str] = []
        self.fault_count = 0
        self.done: Counter[str] = Counter()
        self.peaks: watch.Counts = {}
        self._kinds = kinds
        self._weights = [kind.weight for kind in kinds]
        self._random = Random(seed)  # noqa: S311 - repeatable, not secret
        self._left = 0

    async def play_round(self, clients: list[sandboxd.Client], count: int, until: float) -> None:
        """Let all clients run `count` jobs together; none begins after `until`."""
        self._left = count
        sampling = asyncio.create_task(self._sample())
        await asyncio.gather(*(self._work(client, until) for client in clients))
        sampling.cancel()
        await asyncio.wait([sampling])

    async def _work(self, client: sandboxd.Client, until: float) -> None:
        while self._left > 0 and time.monotonic() < until:
            self._left -= 1
            (kind,) = self._random.choices(self._kinds, self._weights)
            try:
                fault = await self._one(kind, client)
            except (sandboxd.SandboxdError, TimeoutError) as error:
                fault = f"{type(error).__name__}: {error}"
                await self.server.restart_if_dead()
            self.done[kind.name] += 1
            if fault:
                self.blame(f"{kind.name}: {fault}")

    def blame(self, fault: str) -> None:
        """Note what went wrong."""
        self.fault_count += 1
        if len(self.faults) < SHOWN_FAULTS:
            self.faults.append(fault)

    async def _one(self, kind: Kind, client: sandboxd.Client) -> str:
        """Ask for one job; say what is wrong with its end."""
        ask = kind.make(self._random)
        if kind.way == "death":
            return await self._die(ask.argv)
        patience = self._random.randrange(1, 80) * MILLISECOND
        timeout = patience if kind.way == "deadline" else LOST
        call = asyncio.create_task(client.run(ask.argv, timeout=timeout, **ask.fields))
        if kind.way == "cancel":
            await asyncio.wait([call], timeout=patience.total_seconds())
            call.cancel()
        await asyncio.wait([call])
        if kind.way == "cancel" and call.cancelled():
            return ""
        if kind.way == "deadline" and isinstance(call.exception(), TimeoutError):
            return ""
        return ask.judge(call.result())

    async def _die(self, argv: tuple[str, ...]) -> str:
        """Let a client of its own process be killed while its job runs."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CLIENT, self.server.address, *argv),
            stdout=asyncio.subprocess.PIPE,
        )
        said = await process.stdout.readline() if process.stdout else b""
        await asyncio.sleep(self._random.uniform(0, 0.1))
        process.kill()
        await process.wait()
        return "" if said == b"asked\n" else f"the client said {said!r}"

    async def _sample(self) -> None:
        """Note the most that is held under load."""
        while True:
            for name, value in self.server.held().items():
                self.peaks[name] = max(value, self.peaks.get(name, value))
            await asyncio.sleep(SAMPLING)

    async def rest(self, client: sandboxd.Client, wanted: watch.Counts) -> watch.Counts:
        """Wait until nothing runs or changes, and the kernel gives nothing more back; give what is.

        It lets go of a memory cgroup, and of the slab that this holds, seconds after its removal.
        """
        held = await self._idle(client, wanted)
        deadline = time.monotonic() + REST_PATIENCE
        while time.monotonic() < deadline:
            await asyncio.sleep(LATE_LOOK)
            later = self.server.held()
            if later[LATE] >= held[LATE]:
                return later
            held = later
        return held

    async def _idle(self, client: sandboxd.Client, wanted: watch.Counts) -> watch.Counts:
        """Wait until nothing runs or changes, and no more is held than wanted; give what is."""
        deadline = time.monotonic() + REST_PATIENCE
        before: watch.Counts = {}
        while True:
            held = self.server.held()
            exact = {name: held[name] for name in EXACT}
            with suppress(sandboxd.SandboxdError):
                host = await client.get_host(timeout=LOST)
                is_idle = held["inits"] == host.ready_sandbox_count and not held["programs"]
                is_back = all(exact[name] <= wanted.get(name, exact[name]) for name in EXACT)
                if is_idle and is_back and exact == before:
                    return held
            if time.monotonic() > deadline:
                told = f"{exact}, {held['programs']} programs"
                self.blame(f"not at rest in {REST_PATIENCE:g} s: {told}")
                return held
            before = exact
            await asyncio.sleep(LOOK)


async def soak(options: argparse.Namespace) -> dict[str, Any]:
    """Start a server and its clients, run the rounds, look at what is left."""
    found = machine()
    print(describe_machine(found))
    server = SoakServer(options.slots)
    kinds = mix(found["cgroup_rung"], found["id_mode"])
    state = Soak(server, kinds, options.seed)
    began = time.monotonic()
    rests: list[watch.Counts] = []
    wanted: watch.Counts = {}
    await server.start()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(sandboxd.Client(server.address))
            for _ in range(options.clients)
        ]
        await client_ready(clients)
        for number in range(1, ROUNDS + 1):
            size = options.jobs * number // ROUNDS - options.jobs * (number - 1) // ROUNDS
            await state.play_round(clients, size, began + options.seconds)
            held = await state.rest(clients[0], wanted)
            rests.append({**held, "jobs": sum(state.done.values())})
            tell(number, rests[-1], time.monotonic() - began)
            wanted = held if number == WARM_UP else wanted
            if time.monotonic() > began + options.seconds:
                break
    seconds = time.monotonic() - began
    left = server.stop()
    verdicts = grown(rests[WARM_UP - 1 :])
    results = {
        "command": " ".join(["python", *sys.argv]),
        "jobs": sum(state.done.values()),
        "jobs_wanted": options.jobs,
        "seconds": round(seconds, 1),
        "kinds": dict(sorted(state.done.items())),
        "fault_count": state.fault_count,
        "faults": state.faults,
        "server_restarts": server.restarts,
        "server_log_errors": server.errors[:SHOWN_FAULTS],
        "left_at_the_end": left,
        "per_10000_jobs": {verdict.name: verdict.as_json() for verdict in verdicts},
        "peaks_under_load": state.peaks,
        "rests": rests,
    }
    results["passed"] = is_passed(results, verdicts)
    print_report(results, verdicts)
    return {"machine": found, **results}


async def client_ready(clients: list[sandboxd.Client]) -> None:
    """Have all connections made before the first job."""
    for client in clients:
        await client.get_host(timeout=LOST)


def is_passed(results: dict[str, Any], verdicts: list[Verdict]) -> bool:
    """Tell whether nothing went wrong and nothing has grown."""
    wrong = ("fault_count", "server_restarts", "server_log_errors", "left_at_the_end")
    is_whole = results["jobs"] == results["jobs_wanted"]
    return is_whole and not any(results[key] for key in wrong) and all(v.is_fine for v in verdicts)


def tell(number: int, held: watch.Counts, seconds: float) -> None:
    """Say how far we are."""
    told = ("daemon_resident_kib", "daemon_descriptors", "processes", "cgroup_directories")
    figures = ", ".join(f"{name} {held.get(name)}" for name in told)
    print(f"{number}/{ROUNDS}: {held['jobs']} jobs, {seconds:.0f} s; {figures}", flush=True)


def print_report(results: dict[str, Any], verdicts: list[Verdict]) -> None:
    """Print slopes and faults."""
    table = Table(title="growth per 10 000 jobs, after the warm-up", title_justify="left")
    for heading in ("", "first", "last", "slope", "± 2 standard errors", "allowed in all", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for one in verdicts:
        fine = "" if one.is_fine else "GROWN"
        figures = (f"{one.slope:.2f}", f"{2 * one.error:.2f}", f"{one.allowed}")
        table.add_row(one.name, str(one.first), str(one.last), *figures, fine)
    console = Console(width=120)
    console.print(table)
    for key in ("kinds", "fault_count", "faults", "server_restarts", "server_log_errors"):
        console.print(f"{key}: {results[key]}", highlight=False)
    console.print(f"left_at_the_end: {results['left_at_the_end']}")
    rate = results["jobs"] / results["seconds"]
    console.print(f"{results['jobs']} jobs in {results['seconds']} s, {rate:.0f} each second")
    console.print("PASSED" if results["passed"] else "FAILED")


def parsed() -> argparse.Namespace:
    """Read the command line."""
    processors = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description="Run mixed jobs for long.")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=7200.0, help="no job begins later")
    parser.add_argument("--clients", type=int, default=max(8, 4 * processors))
    parser.add_argument("--slots", type=int, default=2 * processors)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def measure() -> dict[str, Any]:
    """Soak; give the report."""
    return asyncio.run(soak(parsed()))


if __name__ == "__main__":
    parsed()
    run_benchmark("soak", measure, watch.open_as_root())
    if (
        RESULT_VARIABLE not in os.environ
        and not json.loads(result_path("soak").read_text())["passed"]
    ):
        raise SystemExit(1)
