"""Programs that run together, joined by pipes; and what they left behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.errors import RequestError, Violation
from sandboxd.model.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from sandboxd.model.job import Job
    from sandboxd.model.outcome import RunResult

MAX_MEMBERS = 16
MAX_PIPES = 32
MAX_DESCRIPTOR = 9
MAX_GROUP_NAME_BYTES = 64
MAX_RECORD_BYTES = 64 * MIB


class EndRule(Enum):
    """When the members are killed that still run."""

    WAIT = "wait"
    """Never."""
    STOP_ON_FIRST_END = "stop_on_first_end"
    STOP_ON_FIRST_FAILURE = "stop_on_first_failure"
    """When the first had any ending but exit code 0."""


@dataclass(frozen=True, slots=True)
class Member:
    """One program of a group."""

    name: str
    job: Job


class End(NamedTuple):
    """One end of a pipe: a member's name and a descriptor of its program."""

    member: str
    descriptor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipe:
    """What joins two members."""

    writer: End
    reader: End
    name: str = ""
    """What its record is called; by default WRITER-READER."""
    swallow: bool = False
    """Whether writing to a reader that is gone succeeds, rather than ends in EPIPE."""
    record_bytes: int = 0
    """How many of the first bytes to record."""

    @property
    def called(self) -> str:
        """What its record is called."""
        return self.name or f"{self.writer.member}-{self.reader.member}"

    @property
    def is_relayed(self) -> bool:
        """Whether what goes through it takes the way through the daemon."""
        return self.swallow or self.record_bytes > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Programs that run together, each in a sandbox of its own; checked on construction.

    Raises:
        RequestError: naming every field that breaks a rule, by its path in RunGroupRequest.

    """

    members: tuple[Member, ...]
    pipes: tuple[Pipe, ...] = ()
    end_rule: EndRule = EndRule.WAIT
    wall_time: timedelta | None = None
    """The longest that all may take together, from the last exec."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        violations = tuple(_violations(self))
        if violations:
            raise RequestError(*violations)

    def wired(self, member: str) -> tuple[int, ...]:
        """Name the descriptors of a member's program that are ends of pipes."""
        ends = (end for pipe in self.pipes for end in (pipe.writer, pipe.reader))
        return tuple(sorted(end.descriptor for end in ends if end.member == member))


@dataclass(frozen=True, slots=True)
class Recorded:
    """The first bytes that went through a pipe."""

    name: str
    pieces: tuple[tuple[int, bytes], ...] = field(repr=False)
    """Nanoseconds since the last exec, and the bytes."""
    total_bytes: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class MemberResult:
    """What one member left behind."""

    name: str
    result: RunResult
    end_place: int
    """Its place among the members by their ends; 1 ended first."""
    stopped: bool
    """Whether it was killed by the rule or the common wall time."""


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What a group left behind: each member in their order, each pipe that was recorded."""

    members: tuple[MemberResult, ...]
    records: tuple[Recorded, ...]


def _violations(group: Group) -> Iterator[Violation]:
    if not 1 <= len(group.members) <= MAX_MEMBERS:
        yield Violation("members", f"must have 1 to {MAX_MEMBERS} entries")
        return
    if len(group.pipes) > MAX_PIPES:
        yield Violation("pipes", f"must have at most {MAX_PIPES} entries")
        return
    names: set[str] = set()
    for index, member in enumerate(group.members):
        if rule := _name_rule(member.name, names):
            yield Violation(f"members[{index}].name", rule)
        names.add(member.name)
        yield from _job_violations(group, member, f"members[{index}].job")
    yield from _pipe_violations(group, names)


def _job_violations(group: Group, member: Member, path: str) -> Iterator[Violation]:
    if member.job.terminal is not None:
        yield Violation(f"{path}.terminal", "must be unset: only a live job has one")
    if member.job.exclusive_cpus:
        yield Violation(f"{path}.exclusive_cpus", "must be unset: a member could wait for another")
    wired = group.wired(member.name)
    if 0 in wired and member.job.stdin:
        yield Violation(f"{path}.stdin", "must be unset: a pipe leads to descriptor 0")
    if 2 in wired and member.job.merge_stderr:
        yield Violation(f"{path}.merge_stderr", "must be unset: a pipe has descriptor 2")


def _pipe_violations(group: Group, members: set[str]) -> Iterator[Violation]:
    names: set[str] = set()
    taken: dict[End, str] = {}
    for index, pipe in enumerate(group.pipes):
        path = f"pipes[{index}]"
        if pipe.name and (rule := _name_rule(pipe.name, names)):
            yield Violation(f"{path}.name", rule)
        names.add(pipe.name)
        for which, end in (("writer", pipe.writer), ("reader", pipe.reader)):
            where = f"{path}.{which}"
            if end.member not in members:
                yield Violation(f"{where}.member", "must be the name of a member")
            if not 0 <= end.descriptor <= MAX_DESCRIPTOR:
                yield Violation(f"{where}.descriptor", f"must be from 0 to {MAX_DESCRIPTOR}")
            elif end in taken:
                yield Violation(f"{where}.descriptor", f"is that of {taken[end]}, too")
            taken.setdefault(end, where)
        if pipe.writer.member == pipe.reader.member:
            yield Violation(f"{path}.reader.member", "must be another one than the writer's")
        if not 0 <= pipe.record_bytes <= MAX_RECORD_BYTES:
            yield Violation(f"{path}.record_bytes", f"must be from 0 to {MAX_RECORD_BYTES}")
    if sum(max(0, pipe.record_bytes) for pipe in group.pipes) > MAX_RECORD_BYTES:
        yield Violation("pipes", f"must record at most {MAX_RECORD_BYTES} bytes together")


def _name_rule(name: str, taken: set[str]) -> str | None:
    if not 1 <= len(name.encode("utf-8", "surrogateescape")) <= MAX_GROUP_NAME_BYTES:
        return f"must have 1 to {MAX_GROUP_NAME_BYTES} bytes"
    return "must be no other's" if name in taken else None
