"""Whether a figure grows with the number of jobs: least squares, with an error, against a bound."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT = 10_000
"""Slopes are told per so many jobs."""
EXACT = (
    *("daemon_descriptors", "daemon_threads", "processes", "cgroup_directories"),
    *("temporary_files", "id_blocks"),
)
"""What must be no more at any rest than at the first one, not by one."""
ALLOWED = {
    **dict.fromkeys(EXACT, 0),
    "daemon_resident_kib": 4096,
    "launcher_resident_kib": 512,
    "zygote_resident_kib": 512,
    "slab_unreclaimable_kib": 32 << 10,
    "memory_available_kib": -(256 << 10),
    "net_namespaces": 100,
    "cgroups": 100,
    "memory_cgroups": 200,
    "open_files": 1000,
    "threads": 200,
}
"""How much from the warm-up to the end passes for noise. What the whole machine holds, others
change as well; over 100 000 jobs, 4 MiB are 45 bytes for each."""


class Verdict(NamedTuple):
    """How one figure went over the rests."""

    name: str
    first: int
    last: int
    slope: float
    """By the line of least squares, per unit."""
    error: float
    """The slope's standard error."""
    span: float
    """How many units of jobs lie between first and last."""
    allowed: int

    @property
    def is_fine(self) -> bool:
        """Tell whether it has not grown, or no more than noise would."""
        if self.name in EXACT:
            return self.last <= self.first
        growth = math.copysign(self.slope * self.span, self.slope * self.allowed)
        return growth - 2 * self.error * self.span <= abs(self.allowed)

    def as_json(self) -> dict[str, Any]:
        """Give it for the report."""
        rounded = {name: round(getattr(self, name), 2) for name in ("slope", "error")}
        return {**self._asdict(), **rounded, "is_fine": self.is_fine}


def grown(rests: Sequence[dict[str, int]]) -> list[Verdict]:
    """Judge all figures that were looked at, by the number of jobs at each rest."""
    names = [name for name in ALLOWED if all(name in rest for rest in rests)]
    at = [rest["jobs"] / UNIT for rest in rests]
    return [_verdict(name, at, [rest[name] for rest in rests]) for name in names]


def _verdict(name: str, at: list[float], values: list[int]) -> Verdict:
    slope, error = fit(at, values)
    return Verdict(name, values[0], values[-1], slope, error, at[-1] - at[0], ALLOWED[name])


def fit(at: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Give the slope of the line of least squares, and its standard error."""
    if len(set(at)) < 3:
        return 0.0, 0.0
    slope, start = statistics.linear_regression(at, values)
    middle = statistics.fmean(at)
    spread = sum((x - middle) ** 2 for x in at)
    rest = sum((y - start - slope * x) ** 2 for x, y in zip(at, values, strict=True))
    return slope, math.sqrt(rest / (len(at) - 2) / spread)
