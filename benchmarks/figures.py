"""The figures to reach, and what was measured of each; pure but for reading the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from history import newest
from samples import ENOUGH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

STEADY_SHARES = (0.5, 0.8)
"""Of what a server manages without pause: the rates at which its tail counts."""
LEAST_OF_BARE = 0.9
"""Jobs a second of a batch, of those of `/bin/true`."""
BWRAP = 0.7
"""Of the time that bwrap takes as a whole."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what, what is to be reached, what was found."""

    what: str
    target: str
    found: str = ""
    is_reached: bool = False
    is_goal_reached: bool = False

    @property
    def verdict(self) -> str:
        """Say in words whether it is reached; nothing of what was not measured."""
        if not self.found:
            return ""
        reached = "goal reached" if self.is_goal_reached else "reached"
        return reached if self.is_reached else "NOT REACHED"


def figures() -> Iterator[tuple[str, Figure]]:
    """Give every figure, with the date and the commit that it was measured at."""
    for part, read in READERS.items():
        measured = newest(part)
        if measured is None:
            yield "not measured", Figure(f"benchmarks/{part}.py", "")
            continue
        at = f"{measured.date} {measured.commit}"
        try:
            yield from [(at, figure) for figure in read(measured.results)]
        except KeyError as absent:  # as older ones may be
            what = f"benchmarks/{part}.py: its results lack {absent}"
            yield at, Figure(what, "")


def _ratio(what: str, found: dict[str, float], most: float, goal: float | None = None) -> Figure:
    """Give a ratio that is to be small; a goal is what to reach beyond what must be."""
    target, ratio = f"≤ {most:g}" + (f", then {goal:g}" if goal else ""), found["median"]
    is_goal_reached = goal is not None and ratio <= goal
    return Figure(what, target, _with_interval(found), ratio <= most, is_goal_reached)


def _with_interval(found: dict[str, float]) -> str:
    few = f", only {found['count']}" if found.get("count", ENOUGH) < ENOUGH else ""
    return f"{found['median']:.3f} ({found['low']:.3f} to {found['high']:.3f}{few})"


def _at_most(what: str, found: float, most: float, unit: str) -> Figure:
    return Figure(what, f"≤ {most:g} {unit}", f"{found:.2f} {unit}", found <= most)


def _at_least(what: str, found: float, least: float, unit: str) -> Figure:
    return Figure(what, f"≥ {least:g} {unit}", f"{found:.2f} {unit}", found >= least)


def _latency(results: dict[str, Any]) -> Iterator[Figure]:
    over = results["ours_over"]
    for peer in results["peers"]:
        yield _ratio(f"one job through gRPC ÷ {peer}, median", over[peer], 1, goal=0.8)
    if "bwrap" in over:
        yield _ratio("one job through gRPC ÷ bwrap, median", over["bwrap"], BWRAP)


def _load(results: dict[str, Any]) -> Iterator[Figure]:
    clients = results["clients"]
    for peer, found in results["ours_over"].items():
        what, ratio = f"jobs a second for {clients} clients ÷ {peer}", found["median"]
        yield Figure(what, "≥ 1, then 1.5", _with_interval(found), ratio >= 1, ratio >= 1.5)
    ours = next(iter(results["servers"].values()))
    for row in ours["steady"]:
        if row["share"] in STEADY_SHARES:
            what = f"p99 ÷ p50 at {row['jobs_per_second']:.0f} jobs/s, {row['share']:.0%} load"
            yield _ratio(what, row["p99_over_p50"], 3)


def _batch(results: dict[str, Any]) -> Iterator[Figure]:
    for way, over in results["over_bare"].items():
        if way.startswith("a ") and way.endswith("by RunBatch"):
            found, ratio = _with_interval(over), over["median"]
            yield Figure(f"{way} ÷ bare jobs", "≥ 0.9", found, ratio >= LEAST_OF_BARE)


def _live(results: dict[str, Any]) -> Iterator[Figure]:
    what = f"{results['lines']} lines between two programs of a group ÷ plain pipes outside"
    yield _ratio(what, results["over_outside"]["group"], 2)
    for way, stream in results["streams"].items():
        what = f"memory grown by {results['streamed_mib']} MiB that stream {way}"
        yield _at_most(what, stream["grown_mib"], 32, "MiB")


def _slowdown(results: dict[str, Any]) -> Iterator[Figure]:
    for work, most in (("computing", 1.01), ("compiling C++", 1.03)):
        for clock, row in results["works"][work].items():
            what = f"{work} inside ÷ outside, {clock} time"
            yield _ratio(what, row["inside_over_outside"], most)


def _fence(results: dict[str, Any]) -> Iterator[Figure]:
    for call, over in results["sandbox_over"].items():
        yield _ratio(f"{call} inside ÷ outside", over["outside"], 1.10)


def _exactness(results: dict[str, Any]) -> Iterator[Figure]:
    for case, found in results["beyond_limits_ms"].items():
        most = 10 if case.startswith("cpu_time") else 5
        yield _at_most(f"beyond {case}, the worst run", found["max"], most, "ms")
    for case, found in results["peak_beyond_touched_mib"].items():
        worst, mib = max(abs(found["min"]), abs(found["max"])), int(case.split()[0])
        yield _at_most(f"peak memory beyond {case}", worst, 0.02 * mib + 1, "MiB")


def _output(results: dict[str, Any]) -> Iterator[Figure]:
    for case, found in results["drained"].items():
        if case.startswith("1 GiB"):
            speed, grown = found["gigabytes_a_second"]["p50"], found["grown_mib"]["max"]
            yield _at_least(f"output drained, {case}", speed, 1, "GB/s")
            yield _at_most(f"memory grown by that, {case}", grown, 8, "MiB")


def _density(results: dict[str, Any]) -> Iterator[Figure]:
    live = results["live"]
    yield _at_most(f"{live} sandboxes live", results["seconds_until_all_live"], 5, "s")
    yield _at_most(f"{live} sandboxes, memory", results["memory_mib"] / 1024, 5, "GiB")


def _startup(results: dict[str, Any]) -> Iterator[Figure]:
    for command, most in results["targets_ms"].items():
        found = results["commands"][command]["wall_ms"]["p50"]
        yield _at_most(f"{command}, median", found, most, "ms")


def _soak(results: dict[str, Any]) -> Iterator[Figure]:
    jobs, faults = results["jobs"], results["fault_count"]
    found = f"{jobs} jobs, {faults} faults, {'passed' if results['passed'] else 'failed'}"
    yield Figure("soak", "no growth, no fault, no lost answer", found, results["passed"])


READERS: dict[str, Callable[[dict[str, Any]], Iterable[Figure]]] = {
    "latency": _latency,
    "load": _load,
    "batch": _batch,
    "live": _live,
    "exactness": _exactness,
    "slowdown": _slowdown,
    "fence": _fence,
    "output": _output,
    "density": _density,
    "startup": _startup,
    "soak": _soak,
}
APART = ("soak",)
"""What takes hours, and so has a command of its own."""
TOGETHER = tuple(part for part in READERS if part not in APART)
