"""The escape lane: every hostile program, in each policy, on each rung that gives the promise.

`make attack` prints the table of results; SANDBOXD_ATTACKS=cgroup runs only those attacks whose
promise rests on a rung.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bait import Bait
from corpus import POLICIES, RUNGS, Attack, attacks
from hoststate import difference, settings
from house import House

from sandboxd.host import Settings, probe_host
from sandboxd.identity import IdMode
from sandboxd.kernel.cgroups import Rung

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = Path(__file__).parent.parent / "service" / "server_process.py"
MODES = {
    "best": Settings(),
    "v2-bare": Settings(cgroup=Rung.V2_BARE),
    "none": Settings(cgroup=Rung.NONE),
    "single": Settings(id_mode=IdMode.SINGLE),
}
"""The kinds of host that this machine can be: its best rung, the ones below, one id for all."""
ONLY_CGROUP = os.environ.get("SANDBOXD_ATTACKS") == "cgroup"


def combinations() -> Iterator[tuple[str, str, Attack]]:
    """Give each mode, policy and attack whose promise is given there."""
    best = probe_host().tree.rung.value
    corpus = [a for a in attacks() if not ONLY_CGROUP or a.rungs != RUNGS]
    for mode, chosen in MODES.items():
        rung = chosen.cgroup.value if chosen.cgroup else best
        id_mode = (chosen.id_mode or IdMode.RANGE).value
        for attack in corpus:
            policies = POLICIES[:1] if attack.is_client else POLICIES
            for policy in policies:
                # Sandboxes for sandboxes are refused without a memory controller, or two ids.
                there = policy != "nested" or (rung in {"v2", "v1"} and id_mode == "range")
                if attack.is_client and mode != "best":
                    there = False
                if there and attack.is_promised(policy, rung, id_mode):
                    yield mode, policy, attack


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each combination."""
    if "attack" not in metafunc.fixturenames:
        return
    wants_client = "server" in metafunc.fixturenames
    found = [each for each in combinations() if each[2].is_client == wants_client]
    ids = [f"{a.group}-{a.name}-{policy}-{mode}" for mode, policy, a in found]
    if wants_client:
        metafunc.parametrize("attack", [attack for _, _, attack in found], ids=ids)
    else:
        metafunc.parametrize(
            ("place", "policy", "attack"), found, ids=ids, indirect=["place"], scope="session"
        )


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> Iterator[House]:
    """Give a supervisor on a kind of host."""
    with House(MODES[request.param]) as house:
        for policy in house.host.policies:  # what is made once is there before it is compared
            if policy != "nested" or request.param == "best":
                house.run("/bin/true", policy=policy)
        before = settings()
        yield house
        assert not difference(before, settings())


@pytest.fixture(scope="session")
def bait() -> Iterator[Bait]:
    """Lay out what nobody may touch."""
    bait = Bait()
    yield bait
    bait.close()


@pytest.fixture(scope="session")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bytes]:
    """Compile every C program, once."""
    directory = tmp_path_factory.mktemp("binaries")
    built = {}
    for attack in attacks():
        if attack.path.suffix == ".c":
            target = directory / attack.name
            command = ["cc", "-O1", "-Wall", "-o", target, attack.path, *attack.compiler_options]
            subprocess.run(command, check=True)
            built[attack.path] = target.read_bytes()
    return built


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Give the address of a server that hostile clients may reach."""
    with tempfile.TemporaryDirectory() as directory:
        address = f"unix:{directory}/sandboxd.sock"
        command = [sys.executable, SERVER, "--listen", address]
        environment = {"PYTHONPATH": str(SERVER.parent.parent.parent)}
        process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)
        with process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline()) == [address]
            yield address
            process.terminate()


# --- the table of `make attack` -------------------------------------------------------------------

_RESULTS: dict[tuple[str, str], dict[bool, list[str]]] = defaultdict(lambda: defaultdict(list))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember how each combination went."""
    if report.when == "call" or report.failed:
        name = report.nodeid.partition("[")[2].rstrip("]")
        if name.count("-") >= 3:
            group, attack, policy, mode = name.split("-", 3)
            _RESULTS[group, attack][report.passed].append(f"{policy} on {mode}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line an attack: what it attacks, where it ran, how that went."""
    promises = {(attack.group, attack.name): attack.promise for attack in attacks()}
    terminalreporter.section("attacks")
    for key, results in sorted(_RESULTS.items()):
        kept, broken = len(results[True]), results[False]
        verdict = f"BROKEN: {', '.join(broken)}" if broken else f"kept {kept}/{kept}"
        terminalreporter.line(f"{'/'.join(key):48} {verdict:12} {promises.get(key, '')}")
    whole = sum(not results[False] for results in _RESULTS.values())
    terminalreporter.line(f"{whole} of {len(_RESULTS)} attacks failed as promised")
