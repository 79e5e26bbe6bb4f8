"""Draws what `latency.py` and `load.py` measured last, for the README.

python benchmarks/plots.py
"""

from __future__ import annotations

from typing import Any

import svg
from common import HERE
from history import newest
from latency import OURS, WHOLE


def latency(results: dict[str, Any]) -> str:
    """Draw the median of every way; starting a whole command is another order of magnitude."""
    rows = []
    for name, row in results["ways"].items():
        low, high = row["p50_interval_ms"]
        if name != WHOLE:
            rows.append(svg.Bar(name, row["ms"]["p50"], low, high, is_ours=name == OURS))
    rows.sort(key=lambda row: row.value)
    return svg.bars("/bin/true, one at a time: median, in milliseconds", rows)


def load(results: dict[str, Any]) -> str:
    """Draw the median and the 99th percentile of every server by rate."""
    series = [
        svg.Series(
            f"{name.removesuffix(', TCP')}, {percent}",
            [(row["jobs_per_second"], row["ms"][percent]) for row in server["steady"]],
            number,
            is_dashed=percent == "p99",
        )
        for number, (name, server) in enumerate(results["servers"].items())
        for percent in ("p50", "p99")
    ]
    title = "/bin/true at a given rate: from when a job was due to its answer"
    return svg.lines(title, "jobs a second", "milliseconds", series)


def main() -> None:
    """Draw what there is."""
    for name, draw in (("latency", latency), ("load", load)):
        if found := newest(name):
            path = HERE / f"{name}.svg"
            path.write_text(draw(found.results))
            print(f"written: {path.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
