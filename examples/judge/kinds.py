"""Kinds of problems: how a solution is run on tests, one function each.

Each judges tests in their order and leaves out what lies behind the first failure of a subtask. Who
was idle is run once more: on a machine that has too much to do everybody is.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from checking import CHECKER_LIMITS
from languages import KIT
from verdicts import GONE, Run, Verdict, run_of, run_of_check, verdict_of_ending

import sandboxd
from sandboxd.model.batch import Answer, Case, Rule, Skipped
from sandboxd.model.group import End, EndRule, Group, Member, MemberResult, Pipe
from sandboxd.model.outcome import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from checking import Checker
    from languages import Program
    from problems import Problem, Test

    Runs = dict[Test, Run]

MAX_PASSES = 8
TESTS_AT_ONCE = 2
"""Of one solution: others are under way, and more would run in vain when the first one fails."""
MAY_FOLLOW = (Verdict.ILE, Verdict.RE)
"""What may come over one of two that talk because of the other; all else is its own doing."""
INTERACTOR = "interactor"


@dataclass(frozen=True, slots=True)
class Trial:
    """A solution before a problem: all that is needed to judge it."""

    problem: Problem
    checker: Checker
    solution: Program


def pending(tests: Sequence[Test], runs: Runs) -> list[Test]:
    """Give the tests that are to be run still: those before the first failure of their subtask."""
    failed: set[str] = set()
    found = []
    for test in tests:
        if test in runs and runs[test].failed:
            failed.add(test.subtask)
        elif test not in runs and test.subtask not in failed:
            found.append(test)
    return found


async def batch(trial: Trial, tests: Sequence[Test]) -> Runs:
    """Run a solution on several tests at once, by RunBatch.

    The server stops a subtask when a run of it fails. Which one fails first is a matter of luck, so
    those before it that were stopped are run again: the verdict is always that of the first one.
    """
    runs: Runs = {}
    doubted: set[Test] = set()
    job = trial.solution.job(trial.problem.limits)
    while asked := pending(tests, runs):
        cases = [Case(stdin=test.given, group=test.subtask) for test in asked]
        answers = trial.checker.client.run_batch(
            job, cases, rule=Rule.STOP_GROUP, parallel_count=TESTS_AT_ONCE
        )
        async with aclosing(answers):
            async for index, answer in answers:
                test = asked[index]
                run = await _run_of_answer(trial, test, answer)
                if run and run.verdict is Verdict.ILE and test not in doubted:
                    doubted.add(test)
                elif run:
                    runs[test] = run
                if _is_decided(asked, runs):
                    break  # and what runs is killed
    return runs


async def _run_of_answer(trial: Trial, test: Test, answer: Answer) -> Run | None:
    match answer:
        case Skipped():
            return None
        case Fault(reason, message):
            return Run(Verdict.JE, note=f"{reason}: {message}")
        case _:
            return await trial.checker.check(test, answer)


def _is_decided(tests: Sequence[Test], runs: Runs) -> bool:
    failed = {test.subtask for test in tests if test in runs and runs[test].failed}
    return failed == {test.subtask for test in tests}


async def interactive(trial: Trial, tests: Sequence[Test]) -> Runs:
    """Run a solution beside the problem's interactor, each one's output being the other's input."""
    return await _one_by_one(trial, tests, _talk)


async def _talk(trial: Trial, test: Test) -> Run:
    return await _together(
        trial,
        test,
        (Member("solution", trial.solution.job(trial.problem.limits)),),
        _joined("solution", writes=1, reads=0),
    )


async def communication(trial: Trial, tests: Sequence[Test]) -> Runs:
    """Run a solution twice at once; only the interactor hears and speaks to both.

    The first argument says which one it is. The interactor reads 3 and writes 4 for the first,
    reads 5 and writes 6 for the second.
    """
    return await _one_by_one(trial, tests, _talk_of_two)


async def _talk_of_two(trial: Trial, test: Test) -> Run:
    names = ("first", "second")
    members = (Member(name, trial.solution.job(trial.problem.limits, name)) for name in names)
    pipes = (*_joined("first", writes=4, reads=3), *_joined("second", writes=6, reads=5))
    return await _together(trial, test, tuple(members), pipes)


async def multipass(trial: Trial, tests: Sequence[Test]) -> Runs:
    """Run a solution again and again, on what the checker made of its last answer."""
    return await _one_by_one(trial, tests, _passes)


async def _passes(trial: Trial, test: Test) -> Run:
    given: sandboxd.Digest | bytes | None = test.given
    for _ in range(MAX_PASSES):
        assert given is not None
        job = trial.solution.job(trial.problem.limits, stdin=given)
        result = await trial.checker.client.run_job(job)
        if verdict_of_ending(result) is not Verdict.OK:
            return run_of(result)
        run, given = await trial.checker.check_pass(test, given, result)
        if run.failed or given is None:
            return run
    return Run(Verdict.JE, note=f"the checker wants more than {MAX_PASSES} passes")


KINDS: dict[str, Callable[[Trial, Sequence[Test]], Awaitable[Runs]]] = {
    "batch": batch,
    "interactive": interactive,
    "communication": communication,
    "multipass": multipass,
}


async def _one_by_one(
    trial: Trial, tests: Sequence[Test], judge: Callable[[Trial, Test], Awaitable[Run]]
) -> Runs:
    runs: Runs = {}
    while asked := pending(tests, runs):
        run = await judge(trial, asked[0])
        if run.verdict is Verdict.ILE:
            run = await judge(trial, asked[0])
        runs[asked[0]] = run
    return runs


async def _together(
    trial: Trial, test: Test, members: tuple[Member, ...], pipes: tuple[Pipe, ...]
) -> Run:
    """Run the interactor and others until all have ended, or one has failed."""
    assert trial.checker.program is not None
    assert trial.problem.limits.wall_time is not None
    patient = replace(  # so that it is never the interactor who loses patience first
        CHECKER_LIMITS, wall_time=4 * trial.problem.limits.wall_time
    )
    interactor = trial.checker.program.job(
        patient,
        *("input", "answer"),
        files=(
            sandboxd.InputFile("input", test.given),
            sandboxd.InputFile("answer", test.answer),
            sandboxd.InputFile(KIT.name, KIT.read_bytes()),
        ),
    )
    group = Group(
        members=(Member(INTERACTOR, interactor), *members),
        pipes=pipes,
        end_rule=EndRule.STOP_ON_FIRST_FAILURE,
    )
    return verdict_of_talk((await trial.checker.client.run_group(group)).members)


def _joined(solution: str, *, writes: int, reads: int) -> tuple[Pipe, Pipe]:
    """Join a solution to the interactor's descriptors.

    Who writes to somebody that has left does not fail for it: the verdict is that of who left.
    """
    return (
        Pipe(writer=End(INTERACTOR, writes), reader=End(solution, 0), swallow=True),
        Pipe(writer=End(solution, 1), reader=End(INTERACTOR, reads), swallow=True),
    )


def verdict_of_talk(members: Sequence[MemberResult]) -> Run:
    """Judge a talk by what the interactor said, unless it had nobody to talk to any more.

    Who ended first does not tell who is to blame: the kernel closes a program's pipes before it
    tells that it has ended, and the other one may be quicker.
    """
    interactor, *solutions = members
    usage = max((member.result.usage for member in solutions), key=lambda usage: usage.cpu_time)
    said = run_of_check(interactor.result, usage)
    in_order = sorted(solutions, key=lambda member: member.end_place)
    runs = [run_of(member.result) for member in in_order if not member.stopped]
    failures = [run for run in runs if run.failed]
    failures.sort(
        key=lambda run: MAY_FOLLOW.index(run.verdict) if run.verdict in MAY_FOLLOW else -1
    )
    failure = next(iter(failures), said)
    if interactor.stopped or interactor.result.ending == sandboxd.Exited(GONE):
        return failure
    return said if said.failed else failure
