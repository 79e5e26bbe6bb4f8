"""The table of limits: one row each, from which fields, defaults, checks and docs follow.

Decides what a limit is called, its unit, its default, its ceiling and what hitting it does.
Never enforces: `plan` turns effective limits into cgroup values, rlimits and deadlines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from sandboxd.errors import JobError, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
DESCRIPTORS_PER_SANDBOX = 16
"""How many of the daemon's a sandbox may take while it is made or its job started."""
DESCRIPTORS_PER_BLANK = 2
"""A live sandbox holds a channel and a pidfd."""
DESCRIPTORS_PER_JOB = 4
"""Further, while its job runs: pipes or a terminal, the notices of its filter."""
SPARE_DESCRIPTORS = 64
"""Kept free for the server's sockets and the daemon's own files."""
DESCRIPTORS_PER_JOB_BLOBS = 16
"""Further, where blobs are kept: those of one job while it runs."""
DESCRIPTORS_OF_STORE = 32
"""Where blobs are kept: of its own files, and of the threads that open blobs."""
MAX_STREAMS = 256
"""Blobs on their way at once, each with a descriptor; of few descriptors only an eighth."""

Value = timedelta | int | float
"""What one limit's value may be; which of the three is fixed by the row's unit."""


class Unit(Enum):
    """What a limit's value counts."""

    DURATION = "duration"
    BYTES = "bytes"
    COUNT = "count"
    PROCESSORS = "processors"


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One limit: its name is the field name in `Limits`, in the protos and in every answer."""

    name: str
    unit: Unit
    default: Value | None
    ceiling: Value
    when_hit: str
    zero: bool = False
    """Whether zero makes sense: then it means none at all, else it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a job may use; an unset limit takes the host's default. Never means "unlimited"."""

    cpu_time: timedelta | None = None
    wall_time: timedelta | None = None
    memory_bytes: int | None = None
    process_count: int | None = None
    output_bytes: int | None = None
    scratch_bytes: int | None = None
    file_count: int | None = None
    file_size_bytes: int | None = None
    open_file_count: int | None = None
    stack_bytes: int | None = None
    cpu_count: float | None = None
    core_bytes: int | None = None
    memlock_bytes: int | None = None
    msgqueue_bytes: int | None = None
    address_space_bytes: int | None = None
    stop_on_output: bool = False
    """Kill the program when it writes more than `output_bytes`, rather than drop the rest."""


ROWS: tuple[LimitRow, ...] = (
    LimitRow("cpu_time", Unit.DURATION, timedelta(seconds=10), timedelta(hours=1), "killed"),
    LimitRow("wall_time", Unit.DURATION, None, timedelta(hours=2), "killed"),
    LimitRow("memory_bytes", Unit.BYTES, 256 * MIB, 4 * GIB, "killed by the kernel"),
    LimitRow("process_count", Unit.COUNT, 64, 4096, "refused (EAGAIN), counted"),
    LimitRow(
        "output_bytes",
        Unit.BYTES,
        1 * MIB,
        64 * MIB,
        "the rest is dropped and the stream marked truncated; killed with stop_on_output",
        zero=True,
    ),
    LimitRow(
        "scratch_bytes", Unit.BYTES, 64 * MIB, 4 * GIB, "refused (ENOSPC), counted", zero=True
    ),
    LimitRow("file_count", Unit.COUNT, 4096, 1 << 20, "refused (ENOSPC), counted", zero=True),
    LimitRow("file_size_bytes", Unit.BYTES, None, 4 * GIB, "signal XFSZ", zero=True),
    LimitRow("open_file_count", Unit.COUNT, 256, 65536, "refused (EMFILE)"),
    LimitRow("stack_bytes", Unit.BYTES, 64 * MIB, 1 * GIB, "signal SEGV"),
    LimitRow("cpu_count", Unit.PROCESSORS, 1.0, 1.0, "slower"),
    LimitRow("core_bytes", Unit.BYTES, 0, 0, "no core is written", zero=True),
    LimitRow("memlock_bytes", Unit.BYTES, 0, 64 * MIB, "refused (ENOMEM)", zero=True),
    LimitRow(
        "msgqueue_bytes",
        Unit.BYTES,
        0,
        1 * MIB,
        "refused (EMFILE); Landlock refuses every POSIX queue, except in `nested` (EACCES)",
        zero=True,
    ),
    LimitRow("address_space_bytes", Unit.BYTES, None, 1 << 46, "refused (ENOMEM)"),
)
"""Every limit. A None default is derived: see `effective`."""

ROW_OF: Mapping[str, LimitRow] = {row.name: row for row in ROWS}

FILE_SIZE_MARGIN = 1 * MIB
"""How far the default file size lies above the scratch space: a program that fills that space with
one file is told ENOSPC, rather than ended by a signal."""

MIN_OPEN_FILES = 4
"""Descriptors 0, 1, 2 are open already; a dynamic loader needs one more."""


def effective(asked: Limits, defaults: Limits, ceilings: Limits) -> Limits:
    """Fill what `asked` leaves open from the host's defaults.

    `wall_time` then defaults to 2 x cpu_time + 1 s, `file_size_bytes` to just above scratch_bytes,
    both within their ceilings; `address_space_bytes` stays None unless asked for.

    Raises:
        JobError: a value is negative, zero where that is meaningless, not finite, or above the
            ceiling (an excess is refused, never lowered). All violations are named at once.

    """
    violations = [
        Violation(f"limits.{row.name}", rule)
        for row in ROWS
        if (rule := _broken_rule(row, getattr(asked, row.name), getattr(ceilings, row.name)))
    ]
    if violations:
        raise JobError(*violations)
    filled = replace(
        asked,
        **{
            row.name: getattr(defaults, row.name)
            for row in ROWS
            if getattr(asked, row.name) is None
        },
    )
    if filled.wall_time is None and filled.cpu_time is not None:
        wall_time = 2 * filled.cpu_time + timedelta(seconds=1)
        filled = replace(filled, wall_time=min(wall_time, ceilings.wall_time or wall_time))
    if filled.file_size_bytes is None and filled.scratch_bytes is not None:
        above = filled.scratch_bytes + FILE_SIZE_MARGIN
        filled = replace(filled, file_size_bytes=min(above, ceilings.file_size_bytes or above))
    return filled


def stream_count(open_files: int) -> int:
    """Tell how many blobs may be on their way in a process that may have so many open files."""
    return min(MAX_STREAMS, open_files // 8)


def built_in(column: str) -> Limits:
    """Give the table's `default` or `ceiling` column as `Limits`, for a host to adjust."""
    return Limits(**{row.name: getattr(row, column) for row in ROWS})


def as_text(row: LimitRow, value: Value) -> str:
    """Write a value as `EnforcedLimit.value` shows it: seconds with an "s", else a plain number."""
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
    return f"{value:g}" if row.unit is Unit.PROCESSORS else str(value)


def names() -> frozenset[str]:
    """Give the names of all limits, as used in `limits_touched` and `require`."""
    return frozenset(field.name for field in fields(Limits)) - {"stop_on_output"}


def _broken_rule(  # noqa: PLR0911 - one return a rule
    row: LimitRow, value: Value | None, ceiling: Value | None
) -> str | None:
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    zero = timedelta() if isinstance(value, timedelta) else 0
    if value < zero:  # type: ignore[operator]  # both sides have the row's unit
        return "must not be negative"
    if value == zero and not row.zero:
        return "must not be zero; leave it unset for the host's default"
    if row.name == "open_file_count" and value < MIN_OPEN_FILES:  # type: ignore[operator]
        return f"must be at least {MIN_OPEN_FILES}: 0, 1 and 2 are open already"
    if ceiling is not None and value > ceiling:  # type: ignore[operator]
        return f"must be at most {as_text(row, ceiling)}, this host's ceiling"
    return None
