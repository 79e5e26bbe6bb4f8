"""The history of results: what was measured last, and when."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from common import RESULTS, is_quick, result_path


@dataclass(frozen=True, slots=True)
class Measurement:
    """The results of one benchmark, and whence they are."""

    results: dict[str, Any]
    date: str
    commit: str


def newest(name: str) -> Measurement | None:
    """Give what a benchmark measured last: in a quick run, this one's; else by when it began."""
    if is_quick() and (path := result_path(name)).exists():
        paths = [path]
    else:
        paths = [path for path in RESULTS.glob(f"*-{name}.json") if path.stat().st_size]
    found = []
    for path in paths:
        results = json.loads(path.read_text())
        year, month, day, commit, _ = path.name.split("-", 4)
        date = f"{year}-{month}-{day}"
        began = results.get("began", date)
        found.append((began, Measurement(results, date, results.get("commit", commit))))
    return max(found, key=lambda pair: pair[0])[1] if found else None
