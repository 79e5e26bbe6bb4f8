"""Who may call: a caller, its roles, how it is known, its share.

Values only: `server.callers` reads them from a file, `server.access` compares them with a call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Role(Enum):
    """What a caller may do."""

    RUN = "run"
    """Run jobs, and see what the host offers."""
    ADMIN = "admin"
    """See what the host offers, and all that concerns other callers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The most that one caller gets at a time; an unset field is bounded by the server alone."""

    slots: int | None = None
    """Jobs at once."""
    memory_bytes: int | None = None
    """Sum of the limits `memory_bytes` of its jobs at once; so also the most for one job."""
    queue_places: int | None = None
    """Jobs that may wait."""
    blob_bytes: int | None = None
    """What its stored blobs count: see `sandboxd.store.charge`."""
    rate: float | None = None
    """Calls a second, over time."""
    burst: int = 1
    """Calls at once, after a pause."""


WHOLE = Share()
"""The share of a caller who has the server to itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who may call, and how to tell."""

    name: str
    roles: frozenset[Role]
    token_hashes: tuple[bytes, ...] = field(default=(), repr=False)
    """SHA-256 of each token."""
    certificates: tuple[str, ...] = ()
    """Names in a client's certificate: its common name, or a subject alternative name."""
    uids: tuple[int, ...] = ()
    """Users of this machine who may come by the unix socket."""
    share: Share = WHOLE
