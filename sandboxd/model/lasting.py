"""A sandbox that stays: how it is, and what it uses. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sandboxd.model.outcome import EnforcedLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxUsage:
    """What a sandbox uses, all its processes together, ended ones too."""

    cpu_time: timedelta = timedelta()
    peak_memory_bytes: int = 0
    peak_process_count: int = 0
    """Zero where this host cannot tell."""
    oom_kill_count: int = 0
    memory_bytes: int = 0
    """In use now."""
    process_count: int = 0
    """Alive now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxInfo:
    """A sandbox as its caller sees it; times are in UTC."""

    id: str
    create_time: datetime
    expire_time: datetime
    """When it ends at the latest."""
    idle_expire_time: datetime | None = None
    """When it ends if nobody asks for it any more; None while that cannot be told."""
    paused: bool = False
    """Whether its processes are stopped."""
    running_count: int = 0
    """Programs that run in it now; what they have left in the background does not count."""
    labels: Mapping[str, str] = field(default_factory=dict)
    usage: SandboxUsage = field(default_factory=SandboxUsage)
    enforced: tuple[EnforcedLimit, ...] = ()
    policy_digest: str = ""
