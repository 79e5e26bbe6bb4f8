"""Jobs of every kind whose right ending is known, and what it is when something kills a helper."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.model.job import InputFile, Job, OutputPath
from sandboxd.model.limits import KIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded, RunResult

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

FLOOD_BYTES = 3_000_000
FLOOD_LIMIT = 64 * KIB


class Task(NamedTuple):
    """A job, and what tells whether a result of it is right."""

    job: Job
    is_right: Callable[[RunResult], bool]


def short(number: int) -> Task:
    job = shell(f"echo {number}; exit {number}")
    return Task(job, lambda result: says(result, number))


def long(number: int) -> Task:
    job = shell(f"sleep 0.15; echo {number}; exit {number}")
    return Task(job, lambda result: says(result, number))


def flooding(number: int) -> Task:
    limits = Limits(output_bytes=FLOOD_LIMIT)
    job = shell(f"yes {number} | head -c {FLOOD_BYTES}; exit {number}", limits=limits)
    line = b"%d\n" % number

    def is_right(result: RunResult) -> bool:
        written = result.stdout
        kept = (line * FLOOD_LIMIT)[:FLOOD_LIMIT]
        return ended(result, number) and (written.data, written.total_bytes) == (kept, FLOOD_BYTES)

    return Task(job, is_right)


def forking(number: int) -> Task:
    script = (
        f"for n in 1 2 3 4; do sleep 0.05 & done; wait; sleep 60 & echo {number}; exit {number}"
    )
    return Task(shell(script), lambda result: says(result, number))


def placing(number: int) -> Task:
    content = b"%d\n" % number * 20_000
    job = shell(
        f"cat in > out; echo {number}; exit {number}",
        files=(InputFile("in", content),),
        outputs=(OutputPath("out"),),
    )

    def is_right(result: RunResult) -> bool:
        return says(result, number) and [file.content for file in result.files] == [content]

    return Task(job, is_right)


def endless(_: int) -> Task:
    limits = Limits(wall_time=timedelta(seconds=0.2))
    ending = LimitExceeded("wall_time")
    return Task(shell("sleep 300", limits=limits), lambda result: result.ending == ending)


KINDS = (short, long, flooding, forking, placing, endless)


def tasks(chance: random.Random) -> list[Task]:
    """Give one job of each kind but one, in any order, each with a number of its own."""
    numbers = chance.sample(range(1, 120), len(KINDS) - 1)
    kinds = chance.sample(KINDS, len(numbers))
    return [kind(number) for kind, number in zip(kinds, numbers, strict=True)]


def shell(script: str, **fields: object) -> Job:
    return Job(argv=("/bin/sh", "-c", script), **fields)  # type: ignore[arg-type]


def ended(result: RunResult, number: int) -> bool:
    return result.ending == Exited(number)


def says(result: RunResult, number: int) -> bool:
    return ended(result, number) and result.stdout.data == b"%d\n" % number
