"""A zygote mounts its /proc anew from time to time; sandboxes of before and after are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from house import House

from sandboxd.host import Settings
from sandboxd.model.outcome import Exited
from sandboxd.runtime import nursery

if TYPE_CHECKING:
    import pytest

NESTED = "cat /proc/sys/user/max_user_namespaces 2>&1; unshare -U true; ls /proc/sys | wc -l"


def test_sandboxes_stay_the_same_when_proc_is_mounted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nursery, "CLONES_BY_PROC", 3)
    for compiled in (True, False):
        with House(Settings(compiled=compiled)) as house:
            results = [house.shell(f"{NESTED}; mount | wc -l") for _ in range(10)]
            assert {result.ending for result in results} == {Exited(0)}
            assert len({(r.stdout.data, r.stderr.data) for r in results}) == 1
