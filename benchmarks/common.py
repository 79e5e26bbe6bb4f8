"""What the benchmarks share: an ordinary user to run as, the machine, the history.

Nothing here asserts a time: a benchmark measures, people judge.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samples import Figures, distribution, median, paired_ratio, percentile

from sandboxd.host import Settings, probe_host

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "RESULTS",
    "ROOT",
    "Figures",
    "as_test_user",
    "describe_machine",
    "distribution",
    "is_quick",
    "machine",
    "median",
    "paired_ratio",
    "percentile",
    "result_path",
    "run_benchmark",
]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
RESULT_VARIABLE = "SANDBOXD_BENCHMARK_RESULT"
"""Names the open file for what the test user measured."""
QUICK = "--quick"


def run_benchmark(
    name: str, measure: Callable[[], dict[str, Any]], shared_fds: tuple[int, ...] = ()
) -> None:
    """Measure as an ordinary user, and write what came of it to the history.

    Root runs this script anew as the test user, which may not write here: it gets an open file,
    and `shared_fds` for what only root may read.
    """
    if RESULT_VARIABLE in os.environ:
        with open(int(os.environ[RESULT_VARIABLE]), "w") as file:
            json.dump(measure(), file)
        return
    began = datetime.now(UTC)
    measured = as_test_user(shared_fds) if os.geteuid() == 0 else measure()
    path = result_path(name)
    RESULTS.mkdir(exist_ok=True)
    found = {"began": began.isoformat(timespec="seconds"), "commit": _commit(), **measured}
    path.write_text(f"{json.dumps(found, indent=1)}\n")
    print(f"written: {path.relative_to(ROOT)}", flush=True)


def as_test_user(shared_fds: tuple[int, ...] = ()) -> dict[str, Any]:
    """As root: run this very command anew as the test user; give what it measured."""
    becomes = [sys.executable, str(ROOT / "scripts/as_test_user.py"), sys.executable]
    with tempfile.TemporaryFile("w+") as file:
        done = subprocess.run(
            [*becomes, *sys.argv],
            pass_fds=(file.fileno(), *shared_fds),
            env={**os.environ, RESULT_VARIABLE: str(file.fileno())},
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.returncode)
        file.seek(0)
        measured: dict[str, Any] = json.load(file)
        return measured


def is_quick() -> bool:
    """Tell whether a look will do: some seconds for each benchmark, and no history."""
    return QUICK in sys.argv


def result_path(name: str) -> Path:
    """Give the file of a benchmark's results by today's date and the commit."""
    end = "-quick" if is_quick() else ""
    return RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{_head()}-{name}{end}.json"


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


def _head() -> str:
    return _git("rev-parse", "--short", "HEAD") or "unknown"


def _commit() -> str:
    """Give what is checked out; with a "+" where the product has been edited since."""
    edited = _git("status", "--porcelain", "--untracked-files=no", "--", "sandboxd")
    return _head() + ("+" if edited else "")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "unknown"
