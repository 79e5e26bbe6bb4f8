"""What the benchmarks share: an ordinary user to run as, figures of a sample, the machine, history.

Nothing here asserts a time: a benchmark measures, people judge.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandboxd.host import Settings, probe_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"

Figures = dict[str, float]


def run_benchmark(name: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Measure as an ordinary user, and write what came of it to the history.

    Root runs this script anew as the test user, which may not write here: it gets an open file.
    """
    if len(sys.argv) > 1:
        with os.fdopen(int(sys.argv[1]), "w") as file:
            _write(file.fileno(), measure())
        return
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{_commit()}-{name}.json"
    with path.open("w") as file:
        if os.geteuid() == 0:
            becomes = [sys.executable, str(ROOT / "scripts/as_test_user.py"), sys.executable]
            command = [*becomes, sys.argv[0], str(file.fileno())]
            subprocess.run(command, pass_fds=(file.fileno(),), check=True)
        else:
            _write(file.fileno(), measure())
    print(f"written: {path.relative_to(ROOT)}")


def machine() -> dict[str, Any]:
    """Give what figures depend on: processor, kernel, how sandboxes are held, other work."""
    host = probe_host(Settings())
    return {
        "processor": _processor(),
        "processors": host.processor_count,
        "kernel": host.kernel_release,
        "cgroup_rung": host.cgroup_rung,
        "id_mode": host.id_mode.value,
        "python": sys.version.split()[0],
        "load_average": round(os.getloadavg()[0], 2),
    }


def describe_machine(found: dict[str, Any]) -> str:
    """Give the machine as one line."""
    return ", ".join(f"{name} {value}" for name, value in found.items())


def percentile(sample: Sequence[float], percent: int) -> float:
    """Give a percentile, interpolated between the two nearest values."""
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


def _write(descriptor: int, results: dict[str, Any]) -> None:
    text = json.dumps(results, indent=1)
    os.write(descriptor, f"{text}\n".encode())


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "unknown"
