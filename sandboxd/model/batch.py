"""One job over many cases: what differs in each, when the rest is not run, how each went; pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from sandboxd.errors import JobError, Violation
from sandboxd.model.limits import ROWS, Limits
from sandboxd.model.outcome import Exited, Fault, RunResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandboxd.model.blob import Digest
    from sandboxd.model.job import InputFile, Job

MAX_CASES = 16384
MAX_ENTRIES = 1 << 20
"""Arguments, variables, outputs and parts of files' paths in the jobs of all cases: few bytes of a
common job multiply to them."""
MAX_GROUP_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is different in one case of a batch; what is not said is as in the common job."""

    stdin: bytes | Digest | None = field(default=None, repr=False)
    """In place of the job's; None: as there."""
    argv: tuple[str, ...] = ()
    """In place of the job's; empty: as there."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further variables, or others in place of the job's."""
    files: tuple[InputFile, ...] = ()
    """Further files."""
    limits: Limits = field(default_factory=Limits)
    """Those that are set, in place of the job's."""
    group: str = ""
    """For `Rule.STOP_GROUP`."""


class Rule(Enum):
    """When cases that wait are skipped, and those that run are killed and skipped."""

    ALL = "all"
    """Never."""
    STOP = "stop"
    """When a case fails; then all others."""
    STOP_GROUP = "stop-group"
    """When a case fails; then all others of its group."""


class SkipCause(Enum):
    """Why a case was not run, or not to its end."""

    RULE = "rule"
    WALL_TIME = "wall_time"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A case was not run, or not to its end."""

    cause: SkipCause


Answer: TypeAlias = RunResult | Fault | Skipped
"""How one case went."""


def merged(common: Job, case: Case) -> Job:
    """Give the job of one case.

    Raises:
        JobError: the two do not go together; the case's files are counted behind the common ones.

    """
    secret = [name for name in case.env if name in common.secret_env]
    if secret:
        rule = "must not be one of the common job's secret variables"
        raise JobError(*(Violation(f"env[{name!a}]", rule) for name in secret))
    return replace(
        common,
        stdin=common.stdin if case.stdin is None else case.stdin,
        argv=case.argv or common.argv,
        env={**common.env, **case.env},
        files=(*common.files, *case.files),
        limits=_limits(common.limits, case.limits),
    )


def _limits(common: Limits, own: Limits) -> Limits:
    said = {row.name: value for row in ROWS if (value := getattr(own, row.name)) is not None}
    stop_on_output = common.stop_on_output or own.stop_on_output
    return replace(common, **said, stop_on_output=stop_on_output)


def has_failed(answer: Answer) -> bool:
    """Tell whether a case ended otherwise than by exit code 0; one that was skipped has not."""
    if isinstance(answer, RunResult):
        return answer.ending != Exited(0)
    return isinstance(answer, Fault)


class Course:
    """What of a batch is still to be run, from the answers so far."""

    def __init__(self, rule: Rule, groups: Sequence[str]) -> None:
        """Take the rule, and the group of each case."""
        self._rule = rule
        self._groups = groups
        self._stopped_groups: set[str] = set()
        self._cause: SkipCause | None = None

    def heed(self, index: int, answer: Answer) -> bool:
        """Take the answer of a case; tell whether others are to be skipped for it from now on."""
        if self._rule is Rule.ALL or not has_failed(answer):
            return False
        if self._rule is Rule.STOP_GROUP:
            self._stopped_groups.add(self._groups[index])
        else:
            self._cause = self._cause or SkipCause.RULE
        return True

    def stop(self, cause: SkipCause) -> None:
        """Skip all that has no answer yet."""
        self._cause = self._cause or cause

    def cause(self, index: int) -> SkipCause | None:
        """Tell why a case that has no answer yet is to be skipped; None: it is not."""
        if self._groups[index] in self._stopped_groups:
            return SkipCause.RULE
        return self._cause
