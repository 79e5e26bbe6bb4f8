"""What a sample says: percentiles, and the intervals that hold the true ones; pure.

The intervals have a confidence of 95 % and ask nothing of the distribution: they are order
statistics, chosen by the binomial distribution of how many values lie below a quantile.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Figures = dict[str, float]

DEVIATIONS = 1.96
"""Of the normal distribution, that hold 95 %."""
ENOUGH = 6
"""Values, whose outermost ones hold the median with 97 %; five would with 94 %."""


def percentile(sample: Sequence[float], percent: int) -> float:
    """Give a percentile, interpolated between the two nearest values."""
    if len(sample) == 1:
        return round(sample[0], 6)
    return round(statistics.quantiles(sample, n=100, method="inclusive")[percent - 1], 6)


def distribution(sample: Sequence[float]) -> Figures:
    """Give how many values there are, and where they lie."""
    return {
        "count": len(sample),
        "min": round(min(sample), 6),
        "p50": percentile(sample, 50),
        "p90": percentile(sample, 90),
        "p99": percentile(sample, 99),
        "max": round(max(sample), 6),
    }


def interval(sample: Sequence[float], percent: int = 50) -> tuple[float, float]:
    """Give the values of a sample between which its population's percentile lies."""
    ordered, share = sorted(sample), percent / 100
    middle = len(ordered) * share
    reach = DEVIATIONS * math.sqrt(middle * (1 - share))
    low = max(0, math.floor(middle - reach) - 1)
    high = min(len(ordered) - 1, math.ceil(middle + reach))
    return round(ordered[low], 6), round(ordered[high], 6)


def median(sample: Sequence[float]) -> Figures:
    """Give the median and its interval; of fewer than `ENOUGH` values, these are the outermost."""
    low, high = interval(sample)
    middle = round(statistics.median(sample), 4)
    return {"median": middle, "low": low, "high": high, "count": len(sample)}


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> Figures:
    """Give the median of the ratios of pairs that were measured side by side, and its interval."""
    return median([one / other for one, other in zip(over, under, strict=True)])
