"""What a check says: how good it is, by what evidence, why, and what mends it."""

from __future__ import annotations

import errno
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.doctor.facts import Facts


class Grade(Enum):
    """How good something is here."""

    PASS = "PASS"  # noqa: S105 - no password
    WEAK = "WEAK"
    """Jobs run, less well enforced or measured than they could be."""
    FAIL = "FAIL"
    """No job can run."""


class Graded(NamedTuple):
    """What one check found."""

    grade: Grade
    evidence: str
    """What was read."""
    cause: str = ""
    """One sentence; empty when it passed."""
    remedy: str = ""
    """The command or setting that mends it."""


Checks = dict[str, "Callable[[Facts], Graded]"]
"""Checks by their names: each a pure function of the facts."""


class Finding(NamedTuple):
    """What one check found, under the check's name."""

    name: str
    grade: Grade
    evidence: str
    cause: str
    remedy: str


def passed(evidence: str) -> Graded:
    """As good as it gets."""
    return Graded(Grade.PASS, evidence)


def weak(evidence: str, cause: str, remedy: str) -> Graded:
    """Jobs run, and something is weaker."""
    return Graded(Grade.WEAK, evidence, cause, remedy)


def failed(evidence: str, cause: str, remedy: str) -> Graded:
    """No job can run."""
    return Graded(Grade.FAIL, evidence, cause, remedy)


def named(*checks: Callable[[Facts], Graded]) -> Checks:
    """Put checks into a table under their functions' names."""
    return {check.__name__: check for check in checks}


def works(facts: Facts, step: str) -> bool:
    """Tell whether a step was tried and succeeded."""
    return facts.tried.get(step) == 0


def refusal(facts: Facts, step: str) -> int:
    """Give the errno with which a step was refused; 0 where it was not, or was not tried."""
    if facts.failure is not None and facts.failure.step == step:
        return facts.failure.errno
    return facts.tried.get(step, 0)


def name_of(number: int) -> str:
    """Name an errno: ``EPERM``."""
    return errno.errorcode.get(number, str(number))
