"""A judge: compiles solutions in sandboxes, runs them on tests, and says what each deserves.

    python examples/judge/judge.py unix:/run/user/1000/sandboxd.sock

Exits with 1 when a solution does not get the verdict that its problem.toml declares.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from checking import Checker
from kinds import KINDS, Trial
from languages import LANGUAGES, MIB, CompileError, compiled, missing_languages
from problems import Grade, Problem, Test, load_all, make_tests
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from verdicts import Run, Verdict

import sandboxd

if TYPE_CHECKING:
    from collections.abc import Sequence

PROBLEMS = Path(__file__).with_name("problems")
NEEDED_SLOTS = 3
"""A communication problem runs three programs at once."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one solution got."""

    solution: Path
    deserved: Grade
    verdict: Verdict
    points: float
    runs: dict[Test, Run]
    note: str = ""

    @property
    def is_right(self) -> bool:
        """Whether it got what it deserves."""
        return (self.verdict, self.points) == self.deserved


def total(problem: Problem, tests: Sequence[Test], runs: dict[Test, Run]) -> tuple[Verdict, float]:
    """Give the verdict of the first test that is not accepted, and the points of all subtasks."""
    points = sum(
        subtask.points * min(_scores(subtask.name, tests, runs)) for subtask in problem.subtasks
    )
    refused = (
        runs[test].verdict
        for test in tests
        if test in runs and runs[test].verdict is not Verdict.OK
    )
    verdicts = sorted(refused, key=lambda verdict: verdict is Verdict.PC)  # a failure says more
    return next(iter(verdicts), Verdict.OK), round(points, 2)


def _scores(subtask: str, tests: Sequence[Test], runs: dict[Test, Run]) -> list[float]:
    """Give the scores of a subtask's tests; one that was left out, behind a failure, has none."""
    return [runs[test].score if test in runs else 0.0 for test in tests if test.subtask == subtask]


class Judge:
    """Judges solutions at a server, a few at a time."""

    def __init__(self, client: sandboxd.Client, parallel_count: int) -> None:
        """Take the client, and how many solutions may be under way."""
        self._client = client
        self._places = asyncio.Semaphore(parallel_count)

    async def judge_problem(self, problem: Problem, suffixes: Sequence[str]) -> list[Judged]:
        """Judge all solutions of a problem that are written in these languages."""
        async with self._places:
            tests = await make_tests(self._client, problem)
            source = problem.program
            program = None if source is None else await compiled(self._client, source)
        checker = Checker(self._client, problem.checker, program)
        return await asyncio.gather(
            *(
                self._judge(problem, checker, tests, solution)
                for solution in problem.solutions
                if solution.suffix in suffixes
            )
        )

    async def _judge(
        self, problem: Problem, checker: Checker, tests: Sequence[Test], solution: Path
    ) -> Judged:
        deserved = problem.solutions[solution]
        async with self._places:
            try:
                program = await compiled(self._client, solution)
                runs = await KINDS[problem.kind](Trial(problem, checker, program), tests)
            except CompileError as error:
                return Judged(solution, deserved, Verdict.CE, 0.0, {}, str(error))
            except sandboxd.StageError as error:  # not the solution's fault: it is judged again
                return Judged(solution, deserved, Verdict.JE, 0.0, {}, str(error))
        verdict, points = total(problem, tests, runs)
        judged = ((test, runs[test]) for test in tests if test in runs)
        notes = (f"{test.name}: {run.note}" for test, run in judged if run.verdict is verdict)
        return Judged(solution, deserved, verdict, points, runs, next(notes, ""))


def print_table(problem: Problem, judged: Sequence[Judged]) -> None:
    """Print a row a solution, with the most that one of its runs took."""
    title = f"{problem.title} ({problem.name}, {problem.kind})"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for heading in ("solution", "verdict"):
        table.add_column(heading)
    for heading in ("points", "tests", "CPU time", "memory"):
        table.add_column(heading, justify="right")
    for one in judged:
        usages = [run.usage for run in one.runs.values()] or [sandboxd.Usage()]
        cpu_time = max(usage.cpu_time for usage in usages)
        memory = max(usage.peak_memory_bytes for usage in usages)
        table.add_row(
            one.solution.name,
            f"[{'green' if one.is_right else 'red'}]{one.verdict.value}",
            f"{one.points:g}",
            str(len(one.runs)),
            f"{cpu_time / timedelta(milliseconds=1):.0f} ms",
            f"{memory / MIB:.1f} MiB",
        )
    Console().print(table)


async def judge_all(options: argparse.Namespace, problems: Sequence[Problem]) -> list[Judged]:
    """Judge everything once; print a table a problem."""
    async with sandboxd.Client(options.address) as client:
        missing = await missing_languages(client)
        for suffix, why in missing.items():
            print(f"SKIPPED: all solutions in {suffix}, as the server has no {why}")
        suffixes = [s for s in options.language or LANGUAGES if s not in missing]
        judge = Judge(client, options.parallel)
        found: list[Judged] = []
        for problem, task in [
            (problem, asyncio.create_task(judge.judge_problem(problem, suffixes)))
            for problem in problems
        ]:
            judged = await task
            print_table(problem, judged)
            found += judged
    return found


def main() -> int:
    """Judge as often as asked, and compare with what each solution deserves."""
    parser = argparse.ArgumentParser(description="Judge the solutions of the problems beside it.")
    parser.add_argument("address", help="of a sandboxd server that keeps blobs")
    parser.add_argument("--problems", type=Path, default=PROBLEMS, help="their directory")
    parser.add_argument("--problem", action="append", default=[], help="only this one; repeat")
    parser.add_argument("--language", action="append", choices=LANGUAGES, help="only this; repeat")
    parser.add_argument("--parallel", type=int, default=4, help="solutions at once (4)")
    parser.add_argument("--rounds", type=int, default=1, help="how often (once)")
    options = parser.parse_args()
    problems = load_all(options.problems, options.problem)
    surprises = 0
    for number in range(options.rounds):
        judged = asyncio.run(judge_all(options, problems))
        again = [one for one in judged if one.verdict is Verdict.JE]
        if again:
            names = ", ".join(str(one.solution.relative_to(options.problems)) for one in again)
            print(f"{len(again)} to be judged again: {names}")
        wrong = [one for one in judged if not one.is_right]
        for one in wrong:
            name = one.solution.relative_to(options.problems)
            print(f"{name} deserves {one.deserved}, and got {Grade(one.verdict, one.points)}")
            print(f"    {one.note}")
        print(f"round {number + 1}: {len(judged)} solutions, {len(wrong)} surprises")
        surprises += len(wrong)
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())
