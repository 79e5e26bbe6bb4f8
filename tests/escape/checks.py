"""What a header's `check:` lines ask of an outcome, beyond the program's own verdict."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from sandboxd.cli.values import parse_duration, parse_size
from sandboxd.model.outcome import Exited, LimitExceeded, NotStarted, Signaled, SyscallDenied

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.model.outcome import Ending, RunResult


def ending_text(ending: Ending) -> str:
    """Say an ending in the words of `expect:`."""
    match ending:
        case Exited(code):
            return f"exited {code}"
        case Signaled(name):
            return f"signaled {name}"
        case LimitExceeded(limit):
            return f"limit {limit}"
        case SyscallDenied(name):
            return f"denied {name}"
        case NotStarted(errno):
            return f"not_started {errno}"


def _file(result: RunResult, path: str, wanted: str) -> bool:
    file = next((file for file in result.files if file.path == path), None)
    if file is None:
        return False
    if wanted.startswith("="):
        return file.content == wanted[1:].encode()
    return file.fault is not None and file.fault.name == wanted


def _truncated(result: RunResult, stream: str) -> bool:
    return bool(getattr(result, stream).truncated)


CHECKS: dict[str, Callable[..., bool]] = {
    "touched": lambda result, limit: limit in result.outcome.limits_touched,
    "truncated": _truncated,
    "wall_below": lambda result, text: result.usage.wall_time < parse_duration(text),
    "cpu_above": lambda result, text: result.usage.cpu_time > parse_duration(text),
    "cpu_below": lambda result, text: result.usage.cpu_time < parse_duration(text),
    "oom_kills": lambda result, text: result.usage.oom_kill_count >= int(text),
    "peak_below": lambda result, text: result.usage.peak_memory_bytes < parse_size(text),
    "file": _file,
    "nowhere": lambda result, text: all(
        text.encode() not in (file.content or b"") for file in result.files
    ),
    "no_file": lambda result, path: all(file.path != path for file in result.files),
}
GROWTH = "daemon_growth"
"""Looked at from outside: how much resident memory the daemon has more than before."""


def unmet(result: RunResult, check: str, growth_bytes: int) -> str:
    """Say how an outcome fails a check; nothing if it does not."""
    name, *arguments = shlex.split(check)
    if name == GROWTH:
        met = growth_bytes < parse_size(arguments[0])
    else:
        met = CHECKS[name](result, *arguments)
    return "" if met else f"not so: {check}"
