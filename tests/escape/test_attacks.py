"""Each hostile program fails, leaves the host as it was, and the next job is fine."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from checks import ending_text, unmet
from corpus import POLICIES, Attack, attacks, read
from hoststate import difference, state_of
from house import House, eventually, wait_cancelled

import sandboxd
from sandboxd.model.job import InputFile, Network, OutputPath, Terminal
from sandboxd.model.outcome import Exited

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bait import Bait

    from sandboxd.model.outcome import RunResult

LEAST_COUNT = 150
KIB = 1024


class Arena:
    """Runs one attack in one place, under one policy."""

    def __init__(
        self, house: House, policy: str, attack: Attack, bait: Bait, binary: bytes | None
    ) -> None:
        self.house = house
        self.attack = attack
        source = attack.path.read_bytes()
        name = "attack" if binary else "attack.py"
        program = InputFile(name, binary or source, executable=binary is not None)
        self._argv = ("./attack",) if binary else ("/usr/bin/python3", "-I", "attack.py")
        self._fields = {
            "files": (program,),
            "env": bait.environment,
            "policy": policy,
            "limits": attack.limits,
            "network": Network(attack.network),
            "stdin": attack.stdin,
            "outputs": tuple(OutputPath(path, optional=True) for path in attack.outputs),
            "terminal": Terminal() if attack.has_terminal else None,
        }

    def run(self) -> list[RunResult]:
        """Run it as often as it asks; give the results, the deciding one last."""
        match self.attack.jobs:
            case "after":
                return [self._run("first"), self._run("second")]
            case "together":
                first = self.house.start(*self._argv, "first", **self._fields)
                try:
                    first.wait_for(b"READY")
                    second = self._run("second")
                finally:
                    first.cancel()
                    wait_cancelled(first)
                assert b"BROKEN" not in first.output, first.output
                return [second]
            case _:
                return [self._run(*self.attack.argv)]

    def _run(self, *arguments: str) -> RunResult:
        return self.house.run(*self._argv, *arguments, **self._fields)


def growth_of(before: int) -> int:
    return resident_bytes() - before


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4 * KIB


def faults_of(attack: Attack, result: RunResult, growth_bytes: int) -> list[str]:
    """Say what in a result breaks the promise."""
    lines = result.stdout.data.decode(errors="replace").splitlines()
    faults = [line for line in lines if line.startswith("BROKEN")]
    ending = ending_text(result.ending)
    if ending not in attack.expect:
        faults.append(f"it ended with: {ending}")
    if isinstance(result.ending, Exited) and not any(line.startswith("HELD") for line in lines):
        faults.append("it held nothing")
    faults += filter(None, (unmet(result, check, growth_bytes) for check in attack.checks))
    return faults


def test_the_promise_holds(
    place: House,
    policy: str,
    attack: Attack,
    bait: Bait,
    binary_of: Callable[[Attack], bytes | None],
) -> None:
    arena = Arena(place, policy, attack, bait, binary_of(attack))
    before, memory = state_of(place), resident_bytes()
    results = arena.run()
    growth = growth_of(memory)
    faults = [fault for result in results[-1:] for fault in faults_of(attack, result, growth)]
    for result in results[:-1]:
        assert b"BROKEN" not in result.stdout.data, result
    assert not faults, (attack.promise, faults, results[-1])
    assert not bait.touched()
    eventually(
        lambda: not difference(before, state_of(place)),
        5,
        lambda: difference(before, state_of(place)),
    )
    assert place.run("/bin/true", policy=policy).ending == Exited(0)


def test_a_hostile_client_gets_nothing(attack: Attack, server: str) -> None:
    attacker = [sys.executable, attack.path, server, *attack.argv]
    ended = subprocess.run(attacker, capture_output=True, text=True, timeout=120, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    assert "BROKEN" not in said, said
    assert "HELD" in ended.stdout, said
    with sandboxd.SyncClient(server) as client:
        assert client.run(["/bin/true"]).ending == Exited(0)


def test_there_are_enough_attacks_and_each_is_promised_somewhere() -> None:
    corpus = attacks()
    assert len(corpus) >= LEAST_COUNT
    assert all(attack.policies and attack.rungs and attack.ids for attack in corpus)
    assert {policy for attack in corpus for policy in attack.policies} == set(POLICIES)


@pytest.mark.parametrize(
    "header",
    ["", "# a fork bomb\n", "# Promise: it stops.\n# limit: x\n", "# Promise: it.\n# rungs: v3\n"],
)
def test_a_wrong_header_is_refused(header: str, tmp_path: Path) -> None:
    path = tmp_path / "attack.py"
    path.write_text(header + "print('HELD')\n")
    with pytest.raises(ValueError, match=r"attack\.py"):
        read(path)
