"""An online judge's round: compiles C++ solutions in sandboxes and runs each on all tests.

    python examples/judge/judge.py unix:/run/user/1000/sandboxd.sock

Exits with 1 when a solution does not get the verdict that it deserves.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from problem import Test, tests
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

import sandboxd

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20
COMPILER_LIMITS = sandboxd.Limits(
    cpu_time=timedelta(seconds=20), memory_bytes=512 * MIB, process_count=64
)
SOLUTION_LIMITS = sandboxd.Limits(
    cpu_time=timedelta(seconds=2), wall_time=timedelta(seconds=10), memory_bytes=64 * MIB
)


class Verdict(Enum):
    """What a judge says, worded as usual."""

    ACCEPTED = "accepted"
    WRONG_ANSWER = "wrong answer"
    TIME_LIMIT = "time limit"
    MEMORY_LIMIT = "memory limit"
    OUTPUT_LIMIT = "output limit"
    RUNTIME_ERROR = "runtime error"


EXPECTED = {
    "correct": Verdict.ACCEPTED,
    "wrong": Verdict.WRONG_ANSWER,
    "looping": Verdict.TIME_LIMIT,
    "memory_hog": Verdict.MEMORY_LIMIT,
    "crashing": Verdict.RUNTIME_ERROR,
}
OF_LIMIT = {
    "cpu_time": Verdict.TIME_LIMIT,
    "wall_time": Verdict.TIME_LIMIT,
    "memory_bytes": Verdict.MEMORY_LIMIT,
    "output_bytes": Verdict.OUTPUT_LIMIT,
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One solution on one test."""

    test: Test
    verdict: Verdict
    usage: sandboxd.Usage


async def compile_solution(client: sandboxd.Client, source: str) -> bytes:
    """Compile one solution in a sandbox and bring the program out."""
    result = await client.run(
        ["g++", "-std=c++17", "-O2", "-o", "solution", "solution.cpp"],
        files=(sandboxd.InputFile("solution.cpp", source.encode()),),
        outputs=(sandboxd.OutputPath("solution"),),
        limits=COMPILER_LIMITS,
    )
    if result.ending != sandboxd.Exited(0) or result.files[0].content is None:
        log = result.stderr.data.decode(errors="replace")
        raise SystemExit(f"cannot compile: {result.ending}, {result.files}\n{log}")
    return result.files[0].content


async def run_test(client: sandboxd.Client, program: bytes, test: Test) -> Judged:
    """Run a compiled solution on one test, in a sandbox of its own."""
    result = await client.run(
        ["./solution"],
        files=(sandboxd.InputFile("solution", program, executable=True),),
        stdin=test.stdin,
        limits=SOLUTION_LIMITS,
    )
    return Judged(test, verdict_of(result, test), result.usage)


def verdict_of(result: sandboxd.RunResult, test: Test) -> Verdict:
    """Judge one run: by how it ended, then by what it wrote."""
    match result.ending:
        case sandboxd.Exited(0):
            right = result.stdout.data.split() == test.answer.split()
            return Verdict.ACCEPTED if right else Verdict.WRONG_ANSWER
        case sandboxd.LimitExceeded(limit):
            return OF_LIMIT.get(limit, Verdict.RUNTIME_ERROR)
        case _:
            return Verdict.RUNTIME_ERROR


async def judge(
    client: sandboxd.Client, source: str, problem_tests: Sequence[Test]
) -> list[Judged]:
    """Compile a solution once, then run it on all tests at once; the server queues what it must."""
    program = await compile_solution(client, source)
    return await asyncio.gather(*(run_test(client, program, test) for test in problem_tests))


def verdict_of_all(runs: Sequence[Judged]) -> Verdict:
    """Give the verdict of the first test that is not accepted."""
    refused = (run.verdict for run in runs if run.verdict is not Verdict.ACCEPTED)
    return next(refused, Verdict.ACCEPTED)


def print_table(rounds: dict[str, list[Judged]]) -> None:
    """Print a row a solution, with the most that one of its runs took."""
    table = Table(title="Largest sum of neighbours", title_justify="left", box=SIMPLE)
    for heading in ("solution", "verdict", "since test"):
        table.add_column(heading)
    for heading in ("accepted", "CPU time", "memory"):
        table.add_column(heading, justify="right")
    for name, runs in rounds.items():
        verdict = verdict_of_all(runs)
        counts = Counter(run.verdict for run in runs)
        refused = (run.test.name for run in runs if run.verdict is not Verdict.ACCEPTED)
        cpu_time = max(run.usage.cpu_time for run in runs)
        memory = max(run.usage.peak_memory_bytes for run in runs)
        table.add_row(
            name,
            f"[{'green' if verdict is Verdict.ACCEPTED else 'red'}]{verdict.value}",
            next(refused, ""),
            f"{counts[Verdict.ACCEPTED]}/{len(runs)}",
            f"{cpu_time / timedelta(milliseconds=1):.0f} ms",
            f"{memory / MIB:.1f} MiB",
        )
    Console().print(table)


async def main() -> int:
    """Judge every solution, all at the same time, and compare with what each deserves."""
    parser = argparse.ArgumentParser(description="Judge the solutions beside this file.")
    parser.add_argument("address", help="of a sandboxd server: unix:PATH or HOST:PORT")
    address = parser.parse_args().address
    directory = Path(__file__).parent / "solutions"
    sources = {name: (directory / f"{name}.cpp").read_text() for name in EXPECTED}
    problem_tests = tests()
    async with sandboxd.Client(address) as client:
        answers = await asyncio.gather(
            *(judge(client, source, problem_tests) for source in sources.values())
        )
    rounds = dict(zip(sources, answers, strict=True))
    print_table(rounds)
    surprises = [name for name in rounds if verdict_of_all(rounds[name]) is not EXPECTED[name]]
    for name in surprises:
        print(f"{name} should have got: {EXPECTED[name].value}")
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
