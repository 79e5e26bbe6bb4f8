"""The attack corpus: what the header of each program says (docs/attacks.md is made of it)."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.cli.values import parse_limit
from sandboxd.model.limits import ROW_OF, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROGRAMS = Path(__file__).with_name("programs")
POLICIES = ("default", "strict", "build", "nested")
RUNGS = ("v2", "v1", "v2-bare", "none")
ID_MODES = ("range", "single")
JOBS = ("one", "after", "together")
LIMITS: Mapping[str, str] = {
    "cpu_time": "5s",
    "wall_time": "10s",
    "memory_bytes": "128MiB",
    "process_count": "64",
}
"""What a program gets that asks for nothing else."""
KEYS = {
    *("limits", "expect", "policies", "rungs", "ids", "network", "jobs", "argv", "stdin"),
    *("terminal", "outputs", "cc", "check", "client"),
}
COMMENT = {".py": "# ", ".c": "// "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One hostile program: the promise that it attacks, and under what it is run."""

    path: Path
    promise: str
    policies: tuple[str, ...] = POLICIES
    rungs: tuple[str, ...] = RUNGS
    ids: tuple[str, ...] = ID_MODES
    limits: Limits = field(default_factory=Limits)
    expect: tuple[str, ...] = ("exited 0",)
    checks: tuple[str, ...] = ()
    network: str = "none"
    jobs: str = "one"
    argv: tuple[str, ...] = ()
    stdin: bytes = b""
    has_terminal: bool = False
    outputs: tuple[str, ...] = ()
    compiler_options: tuple[str, ...] = ()
    is_client: bool = False

    @property
    def group(self) -> str:
        """The folder that it lies in."""
        return self.path.parent.name

    @property
    def name(self) -> str:
        """The attack in words joined by underscores."""
        return self.path.stem

    def is_promised(self, policy: str, rung: str, id_mode: str) -> bool:
        """Tell whether the promise is given there."""
        return policy in self.policies and rung in self.rungs and id_mode in self.ids


def attacks() -> list[Attack]:
    """Read the whole corpus, ordered by group and name."""
    paths = (path for path in PROGRAMS.glob("*/*") if path.suffix in COMMENT)
    return [read(path) for path in sorted(paths)]


def read(path: Path) -> Attack:
    """Read one program's header; raises ValueError naming the file and what is wrong in it."""
    try:
        promise, pairs = _header(path)
        return _attack(path, promise, pairs)
    except (ValueError, KeyError) as error:
        raise ValueError(f"cannot read the header of {path.name}: {error}") from error


def _header(path: Path) -> tuple[str, list[tuple[str, str]]]:
    mark = COMMENT[path.suffix]
    lines = path.read_text(encoding="utf-8").splitlines()
    header = [line.removeprefix(mark) for line in takewhile(lambda x: x.startswith(mark), lines)]
    first, _, promise = header[0].partition(": ") if header else ("", "", "")
    if first != "Promise" or not promise.endswith("."):
        raise ValueError(f"its first line is not '{mark}Promise: …' with a sentence")
    return promise, list(_pairs(header[1:]))


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        key, colon, value = line.partition(":")
        if not colon or key not in KEYS or not value.strip():
            raise ValueError(f"{line!r} is no 'key: value' of the header")
        yield key, value.strip()


def _attack(path: Path, promise: str, pairs: list[tuple[str, str]]) -> Attack:
    values = dict(pairs)
    if len(values) + sum(key == "check" for key, _ in pairs[1:]) < len(pairs):
        raise ValueError("a key is there twice")
    asked = dict(pair.split("=", 1) for pair in values.get("limits", "").split())
    given = {name: parse_limit(ROW_OF[name], text) for name, text in {**LIMITS, **asked}.items()}
    return Attack(
        path=path,
        promise=promise,
        policies=_among(POLICIES, values.get("policies")),
        rungs=_among(RUNGS, values.get("rungs")),
        ids=_among(ID_MODES, values.get("ids")),
        limits=Limits(**given),  # type: ignore[arg-type]  # each row has its unit's type
        expect=tuple(text.strip() for text in values.get("expect", "exited 0").split("|")),
        checks=tuple(value for key, value in pairs if key == "check"),
        network=values.get("network", "none"),
        jobs=_among(JOBS, values.get("jobs", "one"))[0],
        argv=tuple(values.get("argv", "").split()),
        stdin=values.get("stdin", "").encode(),
        has_terminal=values.get("terminal") == "yes",
        outputs=tuple(values.get("outputs", "").split()),
        compiler_options=tuple(values.get("cc", "").split()),
        is_client=values.get("client") == "yes",
    )


def _among(known: tuple[str, ...], text: str | None) -> tuple[str, ...]:
    if text is None:
        return known
    names = tuple(text.split())
    if unknown := set(names) - set(known):
        raise ValueError(f"{unknown.pop()!r} is none of {', '.join(known)}")
    return names
