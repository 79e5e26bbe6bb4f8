"""A job that a server keeps: how far it is, and what is known of it. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sandboxd.model.outcome import Fault, Outcome

MIN_PRIORITY, MAX_PRIORITY = -100, 100
MAX_REQUEST_ID_BYTES = 128
MAX_LABEL_COUNT = 16
MAX_LABEL_KEY_BYTES = 64
MAX_LABEL_VALUE_BYTES = 256
MAX_URL_BYTES = 2048
MAX_SECRET_BYTES = 256
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 100
LEAST_KEEP_TIME = timedelta(microseconds=1)


class JobState(IntEnum):
    """How far a job is; numbered as on the wire."""

    QUEUED = 1
    """It waits for its turn."""
    RUNNING = 2
    """It runs."""
    ENDED = 3
    """Its program has ended, in whatever way."""
    FAULT = 4
    """The host could not run it."""
    CANCELLED = 5
    """Its caller has cancelled it."""
    INTERRUPTED = 6
    """The server ended while it ran."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it changes any more."""
        return self > JobState.RUNNING


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to tell of a job's end, and what signs it."""

    url: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """A job as its caller sees it; times are in UTC, and None before they have come."""

    id: str
    state: JobState
    create_time: datetime
    request_id: str = ""
    queue_position: int = 0
    """How many of all waiting jobs may run before it, as it looks now."""
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    start_time: datetime | None = None
    end_time: datetime | None = None
    expire_time: datetime | None = None
    outcome: Outcome | None = None
    fault: Fault | None = None
    output_bytes: int = 0
    """What is kept of its output so far, both streams together."""
