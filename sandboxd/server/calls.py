"""The call under way: who made it and how it goes; what servicers and the audit know of it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandboxd.model.caller import Caller
    from sandboxd.model.outcome import RunResult


@dataclass(slots=True)
class Known:
    """A caller, and how it was known."""

    caller: Caller
    tenant: str
    """Who shares a line in the queue, and a share: the caller's name, or the client's address."""
    by: str
    """``token``, ``certificate``, ``uid``, or ``address`` where anybody there may call."""


@dataclass(slots=True)
class Call:
    """One call; each part is set as soon as it is known."""

    method: str
    address: str
    """Where it came in: ``unix`` or ``tcp``."""
    known: Known | None = None
    job_digest: str = ""
    policy: str = ""
    """Empty until it is known to be one of the host's: else it is just text of the client's."""
    policy_digest: str = ""
    blob: str = ""
    """What was stored or removed, by its digest."""
    sandbox: str = ""
    """Of the sandboxes that stay, which one it is about."""
    job: str = ""
    """Of the jobs that are kept, which one it is about."""
    result: RunResult | None = None
    case: int | None = None
    """Which of a batch it is about; None: not about one alone."""
    reason: str = ""
    """Of the error that it ended with."""


_current: ContextVar[Call] = ContextVar("call")


def begin(call: Call) -> None:
    """Make it the call of the task that answers it."""
    _current.set(call)


def known() -> Known:
    """Give the caller of the call that this task answers; the guard has let it in."""
    known = current().known
    assert known is not None  # noqa: S101 - as said
    return known


def current() -> Call:
    """Give the call that this task answers."""
    return _current.get()
