"""As many sandboxes live at once as the host says, one more is refused, and all are gone after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filled import LIMITS
from house import PATIENCE, House, eventually, fewer

from sandboxd.host import Settings
from sandboxd.model.outcome import Exited

if TYPE_CHECKING:
    from collections.abc import Iterator

FILLED = Path(__file__).with_name("filled.py")
CHECKOUT = FILLED.parent.parent.parent
COUNT = fewer(100)


@pytest.fixture
def crowded(house: House) -> Iterator[House]:
    """Give a supervisor whose pool holds many."""
    del house  # where it cannot be made, the reason is told
    with House(Settings(pool_size=COUNT)) as own:
        yield own


def test_a_hundred_blank_sandboxes_stand_ready_and_leave_nothing(crowded: House) -> None:
    directories = len(crowded.cgroups())
    crowded.loop.call_soon_threadsafe(crowded.supervisor.keep_ready, COUNT)
    eventually(lambda: crowded.supervisor.ready_count == COUNT)
    runs = [crowded.start("/bin/cat", stdin=b"%d" % number) for number in range(COUNT // 2)]
    results = [run.result() for run in runs]
    assert {result.ending for result in results} == {Exited(0)}
    assert [result.stdout.data for result in results] == [b"%d" % n for n in range(COUNT // 2)]
    eventually(lambda: crowded.supervisor.ready_count == COUNT)
    crowded.do(crowded.supervisor._pool.flush())  # noqa: SLF001 - nobody else may empty it
    eventually(lambda: len(crowded.cgroups()) == directories)
    assert crowded.supervisor._live == 0  # noqa: SLF001 - the same
    assert not crowded.sandboxed()


@pytest.mark.parametrize(
    ("limit", "remedy"),
    [
        ("descriptors", "LimitNOFILE="),
        ("net", "sudo sysctl -w user.max_net_namespaces=26"),
        ("ipc", "sudo sysctl -w user.max_ipc_namespaces=24"),
    ],
)
def test_one_more_than_the_kernel_allows_is_refused_beforehand(
    house: House, limit: str, remedy: str
) -> None:
    assert house.run("/bin/true").ending == Exited(0)
    told = filled(limit)
    ceiling = told["ceiling"]
    assert 1 < ceiling < 10
    for name in ("refused", "refused again"):
        reason, text = told[name]
        assert reason == "SANDBOXES_EXHAUSTED", text
        assert text.startswith(f"cannot create a sandbox: {ceiling} are live")
        assert remedy in text
    assert told["still running"] == ceiling, "those that run go on"
    assert told["recovered"] is True


def filled(limit: str) -> dict[str, Any]:
    """Fill a supervisor under a limit; give what it was told."""
    done = subprocess.run(
        [sys.executable, FILLED, limit],
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_every_limit_is_tested() -> None:
    assert set(LIMITS) == {"descriptors", "net", "ipc"}
