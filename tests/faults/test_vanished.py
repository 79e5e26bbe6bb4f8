"""Cgroups that are removed or renamed under a sandbox: a named error, and the next job is fine."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from house import SLOWNESS, House, eventually
from leftovers import at_rest, settled, zygote_of

from sandboxd.errors import StageError
from sandboxd.host import probe_host
from sandboxd.kernel.cgroups import UNIFIED, directories_for, hierarchies_for
from sandboxd.kernel.delegation import clear
from sandboxd.model.outcome import Exited
from sandboxd.runtime import sandbox

if TYPE_CHECKING:
    from house import Running

USED = sorted(hierarchies_for(probe_host().tree, quota=False))
V1 = [name for name in USED if name != UNIFIED]
"""Only those of cgroup v1 can be renamed, and joined by the daemon."""


def named(hierarchy: str) -> str:
    return hierarchy or "unified"


def path_in(house: House, hierarchy: str) -> str:
    """Tell where this supervisor's cgroups lie in a hierarchy."""
    return str(house.supervisor._tree.paths[hierarchy])  # noqa: SLF001 - nobody else knows


def sandboxes_in(place: str) -> list[str]:
    """Name the cgroups of this supervisor's sandboxes."""
    return [entry.path for entry in os.scandir(place) if entry.is_dir()]


def has_all(path: str, leaves: list[str]) -> bool:
    return all(os.path.isdir(f"{path}/{leaf}") for leaf in leaves)


def ended_by_us(running: Running) -> StageError:
    with pytest.raises(StageError) as failed:
        running.result()
    return failed.value


@pytest.mark.parametrize("hierarchy", USED, ids=named)
def test_no_program_runs_where_a_cgroup_vanished_before_it(
    own_house: House, hierarchy: str
) -> None:
    place = path_in(own_house, hierarchy)
    before = at_rest(own_house)
    zygote = zygote_of(own_house)
    os.kill(zygote, signal.SIGSTOP)
    try:
        running = own_house.start("/bin/echo", "ran")
        tree = own_house.host.tree
        made = directories_for(tree, quota=False)
        leaves = [path for name, path in made if name == hierarchy and path]
        eventually(lambda: [path for path in sandboxes_in(place) if has_all(path, leaves)])
        (path,) = sandboxes_in(place)
        for leaf in leaves or [""]:
            os.rmdir(f"{path}/{leaf}")
    finally:
        os.kill(zygote, signal.SIGCONT)
    error = ended_by_us(running)
    assert error.errno in {errno.ENOENT, errno.ENODEV}, error
    assert running.output == b""
    assert own_house.run("/bin/true").ending == Exited(0)
    settled(own_house, before)


if V1:

    def test_a_cgroup_that_somebody_holds_is_removed_when_they_let_go(
        own_house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        place = path_in(own_house, "pids")
        before = at_rest(own_house)
        monkeypatch.setattr(sandbox, "REMOVE_PATIENCE", 0.5 * SLOWNESS)
        running = own_house.start("/bin/sh", "-c", "echo; sleep 0.3; exit 3")
        running.wait_for()
        (path,) = sandboxes_in(place)
        with subprocess.Popen(["sleep", "300"]) as guest:
            Path(path, "tasks").write_text(str(guest.pid), encoding="ascii")
            assert running.result().ending == Exited(3), "the job's own end is as it was"
            own_house.settle()
            assert "the kernel holds an ended sandbox" in caplog.text
            assert own_house.run("/bin/true").ending == Exited(0)
            assert os.path.isdir(path)
            guest.kill()
        settled(own_house, before)

    @pytest.mark.parametrize("hierarchy", V1, ids=named)
    def test_a_cgroup_renamed_under_a_program_costs_that_job_at_most(
        own_house: House, hierarchy: str
    ) -> None:
        place = path_in(own_house, hierarchy)
        before = at_rest(own_house)
        other = own_house.start("/bin/sh", "-c", "echo; exec sleep 300")
        other.wait_for()
        theirs = set(sandboxes_in(place))
        running = own_house.start("/bin/sh", "-c", "echo; sleep 0.3; exit 3")
        running.wait_for()
        (path,) = set(sandboxes_in(place)) - theirs
        os.rename(path, f"{place}/renamed")
        error = ended_by_us(running)
        assert error.errno == errno.ENOENT
        assert path in str(error), "the path is named"
        clear({hierarchy: f"{place}/renamed"})
        assert not other.future.done()
        other.cancel()
        assert own_house.run("/bin/true").ending == Exited(0)
        settled(own_house, before)
