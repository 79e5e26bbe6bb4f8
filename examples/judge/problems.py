"""Problems as they lie on disk: what is asked, its tests, its solutions and what they deserve."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from languages import KIT, MIB
from verdicts import IDLE_FACTOR, Verdict

import sandboxd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sandboxd import Client, Digest

STACK_BYTES = 16 * MIB
"""Less than the memory: a recursion without end is a crash, then."""
GENERATOR_LIMITS = sandboxd.Limits(
    cpu_time=timedelta(seconds=20),
    wall_time=timedelta(minutes=2),
    memory_bytes=512 * MIB,
    scratch_bytes=256 * MIB,
)


class Subtask(NamedTuple):
    """Tests that are worth their points only together."""

    name: str
    points: int


class Grade(NamedTuple):
    """A verdict and points."""

    verdict: Verdict
    points: float

    def __str__(self) -> str:
        """Give it as people say it."""
        return f"{self.verdict.value}, {self.points:g} points"


@dataclass(frozen=True, slots=True)
class Test:
    """One test: its input stays on the server."""

    subtask: str
    name: str
    given: Digest
    answer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem."""

    directory: Path
    title: str
    kind: str
    """batch, interactive, communication or multipass."""
    checker: str
    """exact, tokens or floats; or the file of a program beside it, which is also an interactor."""
    limits: sandboxd.Limits
    subtasks: tuple[Subtask, ...]
    solutions: dict[Path, Grade]

    @property
    def name(self) -> str:
        """Its directory's name."""
        return self.directory.name

    @property
    def program(self) -> Path | None:
        """The source of its checker or interactor, if it has its own."""
        return self.directory / self.checker if "." in self.checker else None


def load(directory: Path) -> Problem:
    """Read a problem."""
    said = tomllib.loads((directory / "problem.toml").read_text())
    cpu_time = timedelta(seconds=said.get("cpu_seconds", 1.0))
    limits = sandboxd.Limits(
        cpu_time=cpu_time,
        wall_time=IDLE_FACTOR * cpu_time,
        memory_bytes=said.get("memory_mib", 64) * MIB,
        stack_bytes=STACK_BYTES,
        output_bytes=said.get("output_kib", 1024) << 10,
        stop_on_output=True,
    )
    subtasks = said.get("subtasks", [{"name": "all", "points": 100}])
    return Problem(
        directory,
        said["title"],
        said["kind"],
        said.get("checker", "tokens"),
        limits,
        tuple(Subtask(one["name"], one["points"]) for one in subtasks),
        {directory / "solutions" / name: _grade(text) for name, text in said["solutions"].items()},
    )


def _grade(text: str) -> Grade:
    """Read what a solution deserves: `OK`, `WA`, `TLE 60`."""
    verdict, _, points = text.partition(" ")
    usual = 100.0 if verdict == "OK" else 0.0
    return Grade(Verdict[verdict], float(points) if points else usual)


def load_all(directory: Path, names: Sequence[str] = ()) -> list[Problem]:
    """Read the problems of these names, or all."""
    found = [load(path.parent) for path in sorted(directory.glob("*/problem.toml"))]
    known = {problem.name for problem in found}
    if unknown := set(names) - known:
        raise SystemExit(
            f"cannot find the problems {unknown}; there are {', '.join(sorted(known))}"
        )
    return [problem for problem in found if not names or problem.name in names]


async def make_tests(client: Client, problem: Problem) -> list[Test]:
    """Run a problem's generator in a sandbox; inputs become blobs, answers come here."""
    result = await client.run(
        ["python3", "-B", "generate.py"],
        files=(
            sandboxd.InputFile("generate.py", (problem.directory / "generate.py").read_bytes()),
            sandboxd.InputFile(KIT.name, KIT.read_bytes()),
        ),
        outputs=(sandboxd.OutputPath("*.in", store=True), sandboxd.OutputPath("*.answer")),
        limits=GENERATOR_LIMITS,
    )
    if result.ending != sandboxd.Exited(0):
        log = result.stderr.data.decode(errors="replace")
        raise SystemExit(f"cannot make the tests of {problem.name}: {result.ending}\n{log}")
    files = {file.path: file for file in result.files}
    tests = [
        _test(path.removesuffix(".in"), files) for path in sorted(files) if path.endswith(".in")
    ]
    places = {subtask.name: place for place, subtask in enumerate(problem.subtasks)}
    return sorted(tests, key=lambda test: places[test.subtask])


def _test(name: str, files: dict[str, sandboxd.OutputFile]) -> Test:
    given, answer = files[f"{name}.in"].blob, files[f"{name}.answer"].content
    if given is None or answer is None:
        raise SystemExit(f"cannot bring out test {name}: {files[f'{name}.in']}")
    return Test(name.partition(".")[0], name, given, answer)
