"""Measures one compile and a thousand tests by RunBatch, beside as many bare jobs.

    python benchmarks/batch.py

A C++ program is compiled in a sandbox and stays at the server as a blob; RunBatch starts it for
each of a thousand inputs. In turn with that, as many at once: `/bin/true` by Run, in a closed loop
of as many connections, and by RunBatch; the program by Run. The ratios tell what the batch saves,
and what the program itself costs: its copy into the sandbox, or its libraries.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import servers
from common import describe_machine, is_quick, machine, median, paired_ratio, run_benchmark
from rich.console import Console
from rich.table import Table

from sandboxd.client import Client
from sandboxd.model.batch import Case, Rule
from sandboxd.model.job import InputFile, Job, OutputPath
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited
from sandboxd.server import wire
from sandboxd.server.wire_batch import from_batch
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandboxd.model.blob import Digest

    Turn = Callable[[], Awaitable[None]]

COUNT = 200 if is_quick() else 1000
ROUNDS = 2 if is_quick() else 9
BATCH = "a static program, by RunBatch"
LINKED = "a dynamic one, by RunBatch"
BARE = "/bin/true, by Run"
BARE_BATCH = "/bin/true, by RunBatch"
SINGLE = "the static program, by Run"
RUN, RUN_BATCH = servers.METHOD, f"{servers.METHOD}Batch"

SOURCE = rb"""
#include <algorithm>
#include <cstdio>
#include <vector>

int main() {
    std::vector<long> numbers;
    for (long number; std::scanf("%ld", &number) == 1;)
        numbers.push_back(number);
    std::sort(numbers.begin(), numbers.end());
    std::printf("%ld\n", numbers[numbers.size() / 2]);
}
"""
COMPILER = ("g++", "-O2", "-o", "solution", "solution.cpp")
STATIC = ("-static", "-s")
NUMBERS = 101
"""In each input; its median is the number of the case."""


@dataclass(slots=True)
class Contestant:
    """One way to run so many jobs."""

    name: str
    turn: Turn
    rates: list[float] = field(default_factory=list)

    async def race(self) -> None:
        """Run them all once."""
        began = time.perf_counter()
        await self.turn()
        self.rates.append(COUNT / (time.perf_counter() - began))


def input_of(number: int) -> bytes:
    """Give the input of a case."""
    around = range(number - NUMBERS // 2, number + NUMBERS // 2 + 1)
    return " ".join(map(str, reversed(around))).encode()


async def compiled(client: Client, *options: str) -> Digest:
    """Compile the program; give the blob that it was stored as."""
    made = await client.run(
        (*COMPILER, *options),
        files=(InputFile("solution.cpp", SOURCE),),
        outputs=(OutputPath("solution", store=True),),
        limits=Limits(memory_bytes=512 * MIB),
    )
    if made.ending != Exited(0) or made.files[0].blob is None:
        raise SystemExit(f"cannot measure: {made.stderr.data.decode()}")
    return made.files[0].blob


def by_batch(channel: grpc.aio.Channel, request: bytes, expected: list[bytes]) -> Turn:
    """Give what runs one batch, and sees that each case went as it should."""
    call = channel.unary_stream(RUN_BATCH, None, None)

    async def turn() -> None:
        async for data in call(request):
            answer = pb.RunBatchResponse.FromString(data)
            _check(answer.response, expected[answer.index])

    return turn


def by_run(channels: list[grpc.aio.Channel], requests: list[bytes], expected: list[bytes]) -> Turn:
    """Give what runs all jobs in a closed loop, one at a time by each connection."""

    async def work(channel: grpc.aio.Channel, numbers: list[int]) -> None:
        call = channel.unary_unary(RUN, None, None)
        while numbers:
            number = numbers.pop()
            answer = pb.RunResponse.FromString(await call(requests[number]))
            _check(answer, expected[number])

    async def turn() -> None:
        numbers = list(reversed(range(COUNT)))
        await asyncio.gather(*(work(channel, numbers) for channel in channels))

    return turn


def _check(answer: pb.RunResponse, expected: bytes) -> None:
    if answer.outcome.exited.exit_code or answer.stdout.data != expected:
        raise SystemExit(f"cannot measure: a job answers {answer}")


class Requests:
    """The bytes of all requests, made once."""

    def __init__(self, at_once: int) -> None:
        """Take how many cases a batch may run at once."""
        self._at_once = at_once
        self.inputs = [input_of(number) for number in range(COUNT)]
        self.bare = Job(argv=(servers.PROGRAM,))

    def batch(self, job: Job, inputs: list[bytes]) -> bytes:
        """Give a batch of a case for each input."""
        cases = [Case(stdin=one or None) for one in inputs]
        return from_batch(job, cases, self._at_once, Rule.ALL, None).SerializeToString()

    def singles(self, job: Job, inputs: list[bytes]) -> list[bytes]:
        """Give a job for each input."""
        jobs = [replace(job, stdin=one) for one in inputs]
        return [wire.from_job(one).SerializeToString() for one in jobs]


def starting(program: Digest) -> Job:
    """Give the job that starts a stored program."""
    return Job(argv=("./solution",), files=(InputFile("solution", program, executable=True),))


def contestants(
    address: str, requests: Requests, at_once: int, program: Digest, linked: Digest
) -> list[Contestant]:
    """Give all ways."""
    options = (*servers.OPTIONS, ("grpc.max_receive_message_length", -1))
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(at_once)]
    answers, nothing = [b"%d\n" % number for number in range(COUNT)], [b""] * COUNT
    static, dynamic, bare, inputs = (
        starting(program),
        starting(linked),
        requests.bare,
        requests.inputs,
    )
    return [
        Contestant(BATCH, by_batch(channels[0], requests.batch(static, inputs), answers)),
        Contestant(LINKED, by_batch(channels[0], requests.batch(dynamic, inputs), answers)),
        Contestant(BARE, by_run(channels, requests.singles(bare, nothing), nothing)),
        Contestant(BARE_BATCH, by_batch(channels[0], requests.batch(bare, nothing), nothing)),
        Contestant(SINGLE, by_run(channels, requests.singles(static, inputs), answers)),
    ]


async def race(address: str) -> dict[str, Any]:
    """Let all take turns; give what was found."""
    async with Client(address) as client:
        at_once = (await client.get_host()).slot_count
        requests = Requests(at_once)
        program, linked = await compiled(client, *STATIC), await compiled(client)
        everyone = contestants(address, requests, at_once, program, linked)
        for one in everyone:
            await one.turn()
        for number in range(ROUNDS):
            first = number % len(everyone)
            for one in everyone[first:] + everyone[:first]:
                await one.race()
        stored = [blob.digest async for blob in client.blobs.list()]
    rates = {one.name: one.rates for one in everyone}
    sent = len(requests.batch(starting(program), requests.inputs))
    return {
        "cases": COUNT,
        "at_once": at_once,
        "stored_times": stored.count(program),
        "program_bytes": program.size_bytes,
        "dynamic_program_bytes": linked.size_bytes,
        "sent_bytes_a_case": sent / COUNT,
        "input_bytes_a_case": sum(map(len, requests.inputs)) / COUNT,
        "jobs_per_second": {name: median(found) for name, found in rates.items()},
        "over_bare": {
            name: paired_ratio(found, rates[BARE]) for name, found in rates.items() if name != BARE
        },
    }


def measure() -> dict[str, Any]:
    """Run everything, print what was found."""
    print(describe_machine(found := machine()))
    with (
        tempfile.TemporaryDirectory() as directory,
        servers.serving("--blobs", str(Path(directory, "blobs"))) as (tcp, _),
    ):
        results = asyncio.run(race(tcp))
    print_found(results)
    return {"machine": found, **results}


def print_found(results: dict[str, Any]) -> None:
    """Print a row a way, and what was stored, sent and copied."""
    title = f"{results['cases']} jobs, {results['at_once']} at once"
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for heading in ("jobs/s", "95 %", "÷ bare jobs"):
        table.add_column(heading, justify="right")
    for name, rate in results["jobs_per_second"].items():
        over = results["over_bare"].get(name)
        table.add_row(
            name,
            f"{rate['median']:.0f}",
            f"{rate['low']:.0f} to {rate['high']:.0f}",
            f"{over['median']:.2f} ({over['low']:.2f} to {over['high']:.2f})" if over else "",
        )
    console = Console(width=120)
    console.print(table)
    console.print(
        f"the static program is stored {results['stored_times']} time; of each case the client "
        f"sends {results['sent_bytes_a_case']:.0f} bytes, {results['input_bytes_a_case']:.0f} of "
        f"them input; into each sandbox the kernel copies {results['program_bytes']} bytes of the "
        f"blob, {results['dynamic_program_bytes']} of the dynamic one",
        highlight=False,
    )


if __name__ == "__main__":
    run_benchmark("batch", measure)
