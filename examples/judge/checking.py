"""Checkers: whether an answer is right. Three compare here; a problem's own runs in a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from languages import KIT, MIB, Program
from verdicts import Run, Verdict, run_of, run_of_check

import sandboxd

if TYPE_CHECKING:
    from collections.abc import Callable

    from problems import Test

    from sandboxd import Client, Digest, RunResult

TOLERANCE = 1e-9
CHECKER_LIMITS = sandboxd.Limits(
    cpu_time=timedelta(seconds=10), wall_time=timedelta(minutes=1), memory_bytes=256 * MIB
)
NEXT = "next"
"""The file in which a checker leaves the input of the next pass."""


def exact(answer: bytes, wanted: bytes) -> Verdict:
    """Compare every byte; what differs in white space only is a matter of presentation."""
    if answer == wanted:
        return Verdict.OK
    return Verdict.PE if answer.split() == wanted.split() else Verdict.WA


def tokens(answer: bytes, wanted: bytes) -> Verdict:
    """Compare the words, whatever is between them."""
    return Verdict.OK if answer.split() == wanted.split() else Verdict.WA


def floats(answer: bytes, wanted: bytes) -> Verdict:
    """Compare numbers, by their absolute or relative difference."""
    try:
        given = [float(word) for word in answer.split()]
    except ValueError:
        return Verdict.PE
    numbers = [float(word) for word in wanted.split()]
    if len(given) != len(numbers):
        return Verdict.PE
    near = all(
        abs(a - b) <= TOLERANCE * max(1.0, abs(b)) for a, b in zip(given, numbers, strict=True)
    )  # NaN is near nothing
    return Verdict.OK if near else Verdict.WA


COMPARE: dict[str, Callable[[bytes, bytes], Verdict]] = {
    "exact": exact,
    "tokens": tokens,
    "floats": floats,
}


@dataclass(frozen=True, slots=True)
class Checker:
    """What tells whether a solution's answers to one problem are right."""

    client: Client
    compare: str
    program: Program | None

    async def check(self, test: Test, result: RunResult) -> Run:
        """Judge a run: by its end, and if that was good, by its answer."""
        run = run_of(result)
        if run.failed:
            return run
        if self.program is None:
            verdict = COMPARE[self.compare](result.stdout.data, test.answer)
            return run_of(result, verdict)
        return (await self.check_pass(test, test.given, result))[0]

    async def check_pass(
        self, test: Test, given: Digest | bytes, result: RunResult
    ) -> tuple[Run, bytes | None]:
        """Have the program look at an answer; give the input of the next pass, if it wants one."""
        assert self.program is not None
        job = self.program.job(
            CHECKER_LIMITS,
            *("input", "output", "answer"),
            files=(
                sandboxd.InputFile("input", given),
                sandboxd.InputFile("output", result.stdout.data),
                sandboxd.InputFile("answer", test.answer),
                sandboxd.InputFile(KIT.name, KIT.read_bytes()),
            ),
            outputs=(sandboxd.OutputPath(NEXT, optional=True),),
        )
        said = await self.client.run_job(job)
        following = next((file.content for file in said.files), None)
        return run_of_check(said, result.usage), following
