"""What is said to the place that keeps jobs: how one was asked for, how it ended. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from signal import SIGTERM
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sandboxd.model.outcome import Fault
    from sandboxd.model.stored import JobState, Webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A job to be kept."""

    request: bytes = field(repr=False)
    """What will be run, as only its reader understands it; secrets and all."""
    digest: str
    """Of all that is asked but secrets: what is sent again has the same one."""
    request_id: str = ""
    priority: int = 0
    keep_time: timedelta | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a job ended."""

    state: JobState
    start_us: int | None = None
    """When its program started, if it did."""
    outcome: bytes | None = None
    result: bytes | None = field(default=None, repr=False)
    """All that it left but its output."""
    fault: Fault | None = None


class Wish(NamedTuple):
    """How a job is to be ended."""

    signal: int = int(SIGTERM)
    grace_seconds: float = 10.0


class Page(NamedTuple):
    """Which of a tenant's jobs are listed, the latest first."""

    before: tuple[int, str] | None
    """Moment and id of the job behind which it begins."""
    size: int
    states: tuple[int, ...] = ()
    """One of these; empty: any."""
    labels: Mapping[str, str] = {}
    """All of these."""
