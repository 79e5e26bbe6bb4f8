"""The escape lane: every hostile program, in each policy, on each rung that gives the promise.

`make attack` prints the table of results. SANDBOXD_ATTACKS chooses fewer: `most` leaves out lesser
rungs and ids but under `default`, `cgroup` takes what rests on a controller alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bait import Bait
from corpus import POLICIES, RUNGS, Attack, attacks
from hoststate import difference, sysctls
from house import House

from sandboxd.host import Settings, probe_host
from sandboxd.identity import IdMode
from sandboxd.kernel.cgroups import Rung

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVER = Path(__file__).parent.parent / "service" / "server_process.py"
MODES = {
    "best": Settings(),
    "v2-bare": Settings(cgroup=Rung.V2_BARE),
    "none": Settings(cgroup=Rung.NONE),
    "single": Settings(id_mode=IdMode.SINGLE),
    "pooled": Settings(pool_size=4),
}
"""The kinds of host that this machine can be: its best rung, the ones below, one id for all; and
with sandboxes made ahead, for what may pass from job to job."""
CHOICE = os.environ.get("SANDBOXD_ATTACKS", "all")


def combinations() -> Iterator[tuple[str, str, Attack]]:
    """Give each mode, policy and attack whose promise is given there."""
    best = probe_host().tree.rung.value
    for mode, settings in MODES.items():
        rung = settings.cgroup.value if settings.cgroup else best
        id_mode = (settings.id_mode or IdMode.RANGE).value
        # Sandboxes for sandboxes are refused without a memory controller, or two ids.
        has_nested = rung in {"v2", "v1"} and id_mode == "range"
        policies = [policy for policy in POLICIES if policy != "nested" or has_nested]
        for attack, policy in product(attacks(), policies):
            promised = attack.is_promised(policy, rung, id_mode)
            if promised and chosen(attack, policy, mode):
                yield mode, policy, attack


def chosen(attack: Attack, policy: str, mode: str) -> bool:
    """Tell whether a combination is run; a client meets a server, which is one of a kind."""
    if attack.is_client and (mode, policy) != ("best", "default"):
        return False
    if mode == "pooled" and attack.group != "between":
        return False
    match CHOICE:
        case "most":
            return mode == "best" or policy == "default"
        case "cgroup":
            return (mode, policy) == ("best", "default") and attack.rungs != RUNGS
        case _:
            return True


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
        before = sysctls()
        yield house
        assert not difference(before, sysctls())


@pytest.fixture(scope="session")
def bait() -> Iterator[Bait]:
    """Lay out what nobody may touch."""
    bait = Bait()
    yield bait
    bait.close()


@pytest.fixture(scope="session")
def binary_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Attack], bytes | None]:
    """Give what compiles a C program, once; nothing for a Python program."""
    directory = tmp_path_factory.mktemp("binaries")

    def build(attack: Attack) -> bytes | None:
        if attack.path.suffix != ".c":
            return None
        target = directory / f"{attack.group}-{attack.name}"
        if not target.exists():
            command = ["cc", "-O1", "-Wall", "-o", target, attack.path, *attack.compiler_options]
            subprocess.run(command, check=True)
        return target.read_bytes()

    return build


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
