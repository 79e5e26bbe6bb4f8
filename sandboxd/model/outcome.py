"""How a job went: endings, usage, files, and the one pure function that says who is to blame.

Decides an ending from what is known when everything has stopped. Never waits, kills or reads.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from sandboxd.model.signals import signal_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandboxd.model.blob import Digest
    from sandboxd.model.limits import Limits

ZERO = timedelta()


@dataclass(frozen=True, slots=True)
class Exited:
    """The program ended by itself."""

    exit_code: int


@dataclass(frozen=True, slots=True)
class Signaled:
    """A signal ended the program, and no limit of ours explains it."""

    signal: str
    """Its name without SIG (``SEGV``, ``RTMIN+3``)."""
    core_dumped: bool = False


@dataclass(frozen=True, slots=True)
class LimitExceeded:
    """A limit ended the program."""

    limit: str
    """The name of the field in `Limits`."""


@dataclass(frozen=True, slots=True)
class SyscallDenied:
    """The policy ended the program at a system call."""

    syscall: str
    """Its name; empty when the policy does not ask to be notified."""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The program could not be executed; nothing of it ran."""

    errno: str
    """The errno's name (``ENOENT``, ``EACCES``, ``ENOEXEC``, ``E2BIG`` ...)."""
    message: str


Ending = Exited | Signaled | LimitExceeded | SyscallDenied | NotStarted


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the job used, all its processes together."""

    user_time: timedelta = ZERO
    system_time: timedelta = ZERO
    cpu_time: timedelta = ZERO
    wall_time: timedelta = ZERO
    """From exec to the end, by the monotonic clock."""
    setup_time: timedelta = ZERO
    """From the slot to exec."""
    queue_time: timedelta = ZERO
    """From the request to the slot, and to the processors where a job waits for them."""
    peak_memory_bytes: int = 0
    """About 1 MiB of it are pages from before exec."""
    peak_process_count: int = 0
    """Zero where this host cannot tell."""
    oom_kill_count: int = 0
    throttled_time: timedelta = ZERO


@dataclass(frozen=True, slots=True)
class EnforcedLimit:
    """One limit as it really was: its value and what held it."""

    limit: str
    value: str
    mechanism: str
    """For example ``cgroup2 memory.max``, ``rlimit``; ``none`` means not enforced here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Ending, usage, and what was enforced by what."""

    ending: Ending
    usage: Usage
    limits_touched: tuple[str, ...] = ()
    """Limits hit without ending the program."""
    enforced: tuple[EnforcedLimit, ...] = ()
    policy_digest: str = ""


@dataclass(frozen=True, slots=True)
class Captured:
    """What one stream wrote: the first bytes, and the count of all."""

    data: bytes = b""
    total_bytes: int = 0
    truncated: bool = False


class FileFault(Enum):
    """Why an asked file did not come back; never changes the ending."""

    MISSING = "missing"
    NOT_REGULAR = "not_regular"
    """A socket or a device."""
    TOO_LARGE = "too_large"
    NOT_ALLOWED = "not_allowed"
    LINK = "link"
    """A symbolic link, or behind one."""
    DIRECTORY = "directory"
    PIPE = "pipe"
    NOT_STORED = "not_stored"
    """It was to be stored, and there is no room."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file brought back: its content, or the fault that prevented it."""

    path: str
    """Relative to the working directory."""
    content: bytes | None = None
    fault: FileFault | None = None
    executable: bool = False
    blob: Digest | None = None
    """The blob that it was stored as, in place of its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The whole answer to one job."""

    outcome: Outcome
    stdout: Captured = field(default_factory=Captured)
    stderr: Captured = field(default_factory=Captured)
    files: tuple[OutputFile, ...] = ()

    @property
    def ending(self) -> Ending:
        """How the program stopped."""
        return self.outcome.ending

    @property
    def usage(self) -> Usage:
        """What the job used."""
        return self.outcome.usage


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a job did not run, or not to its end, by no fault of its program; what an error says."""

    reason: str
    """UPPER_SNAKE."""
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Remedy, stage, errno, detail: what there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known once everything of the job has stopped."""

    wait_status: int = 0
    """As waitpid gives it, of the program itself."""
    not_started: NotStarted | None = None
    killed_for: str | None = None
    """The limit for which the supervisor killed the program, if it did."""
    denied_syscall: str | None = None
    """What the policy's notification named."""


def decide(  # noqa: PLR0911 - one return a cause, in their order
    evidence: Evidence, usage: Usage, limits: Limits
) -> Ending:
    """Name the first cause of the end: our kill, the kernel's OOM kill, denial, signal, exit.

    Time over the limit at the end counts as exceeded even when the program ended by itself first:
    the limit is a promise about the program, not about our reaction. For the same reason a kill at
    the wall time does not count if the program had ended just before it.
    """
    if evidence.killed_for and not _ended_in_time(evidence, usage, limits):
        return LimitExceeded(evidence.killed_for)
    if usage.oom_kill_count:
        return LimitExceeded("memory_bytes")
    if evidence.not_started:
        return evidence.not_started
    if limits.cpu_time is not None and usage.cpu_time > limits.cpu_time:
        return LimitExceeded("cpu_time")
    if limits.wall_time is not None and usage.wall_time > limits.wall_time:
        return LimitExceeded("wall_time")
    if evidence.denied_syscall is not None:
        return SyscallDenied(evidence.denied_syscall)
    return _ending_of(evidence.wait_status)


def _ended_in_time(evidence: Evidence, usage: Usage, limits: Limits) -> bool:
    limit, was_killed = limits.wall_time, evidence.wait_status & 0x7F == signal.SIGKILL
    in_time = limit is not None and usage.wall_time < limit and not was_killed
    return evidence.killed_for == "wall_time" and in_time


def _ending_of(wait_status: int) -> Ending:
    number = wait_status & 0x7F
    if number == 0:
        return Exited((wait_status >> 8) & 0xFF)
    return Signaled(signal_name(number), bool(wait_status & 0x80))
