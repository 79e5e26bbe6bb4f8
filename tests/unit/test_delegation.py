"""The place for our cgroups is found from what the kernel says, and only where it was given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandboxd.kernel import delegation
from sandboxd.kernel.cgroups import UNIFIED, Rung
from sandboxd.kernel.delegation import candidates, choose, hierarchies, own_paths

HYBRID = """
25 20 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid shared:4 - cgroup2 cgroup2 rw
27 25 0:24 / /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory
28 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw master:1 - cgroup cgroup rw,cpu,cpuacct
29 25 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
30 25 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
31 25 0:28 / /elsewhere rw - cgroup cgroup rw,pids
""".strip()
UNIFIED_ONLY = "26 25 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
EVERYTHING = frozenset({"cpu", "memory", "pids"})
PLACES = {UNIFIED: "/u", "memory": "/m", "pids": "/p", "cpuacct": "/a", "cpu": "/c"}


def test_every_hierarchy_is_found_where_it_is_mounted_first() -> None:
    assert hierarchies(HYBRID) == {
        UNIFIED: "/sys/fs/cgroup/unified",
        "memory": "/sys/fs/cgroup/memory",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "pids": "/sys/fs/cgroup/pids",
    }
    assert hierarchies(UNIFIED_ONLY) == {UNIFIED: "/sys/fs/cgroup"}
    assert hierarchies("") == {}
    assert hierarchies(Path("/proc/self/mountinfo").read_text(encoding="utf-8")) is not None


def test_the_own_path_is_read_for_every_hierarchy() -> None:
    text = "8:pids:/a\n4:cpu,cpuacct:/b:with:colons\n1:name=systemd:/s\n0::/user.slice/x\n"
    assert own_paths(text) == {
        "pids": "/a",
        "cpu": "/b:with:colons",
        "cpuacct": "/b:with:colons",
        "name=systemd": "/s",
        UNIFIED: "/user.slice/x",
    }


def test_the_prepared_place_comes_first_and_then_a_managers_own() -> None:
    own = {UNIFIED: "/user.slice/app.scope", "memory": "/m"}
    assert candidates(7, own, "memory") == ("/sandboxd/7",)
    assert candidates(7, own, UNIFIED) == ("/sandboxd/7", "/user.slice/app.scope")
    inside = {UNIFIED: "/user.slice/app.scope/supervisor"}
    assert candidates(7, inside, UNIFIED) == ("/sandboxd/7", "/user.slice/app.scope")
    assert candidates(7, {UNIFIED: "/"}, UNIFIED) == ("/sandboxd/7",)
    assert candidates(7, {}, UNIFIED) == ("/sandboxd/7",)


@pytest.mark.parametrize(
    ("found", "controllers", "rung", "hierarchies_used"),
    [
        (PLACES, EVERYTHING, Rung.V2, {UNIFIED}),
        (PLACES, frozenset(), Rung.V1, set(PLACES)),
        ({UNIFIED: "/u"}, frozenset(), Rung.V2_BARE, {UNIFIED}),
        ({UNIFIED: "/u", "pids": "/p"}, frozenset(), Rung.V2_BARE, {UNIFIED}),
        ({"memory": "/m", "pids": "/p"}, frozenset(), Rung.V1, {"memory", "pids"}),
        ({"pids": "/p"}, frozenset(), Rung.NONE, set()),
        ({}, frozenset(), Rung.NONE, set()),
    ],
)
def test_the_highest_rung_is_chosen(
    found: dict[str, str], controllers: frozenset[str], rung: Rung, hierarchies_used: set[str]
) -> None:
    tree = choose(None, found, controllers)
    assert tree.rung is rung
    assert set(tree.paths) == hierarchies_used
    assert all(tree.paths[name] == found[name] for name in tree.paths)
    assert tree.controllers == (controllers if rung is Rung.V2 else frozenset())


@pytest.mark.parametrize("forced", Rung)
def test_a_forced_rung_is_taken_or_none_at_all(forced: Rung) -> None:
    assert choose(forced, PLACES, EVERYTHING).rung is forced
    assert choose(forced, {}, frozenset()).rung is Rung.NONE


def test_limits_are_by_the_hierarchy_that_has_the_controller() -> None:
    v1 = choose(Rung.V1, PLACES, frozenset())
    assert [v1.limits_by(name) for name in ("memory", "pids", "cpu")] == ["cgroup1"] * 3
    v2 = choose(Rung.V2, PLACES, frozenset({"memory"}))
    assert [v2.limits_by(name) for name in ("memory", "pids", "cpu")] == ["cgroup2", None, None]
    assert v2.v1 == ()
    assert v1.unified == "/u"


def test_a_tree_of_nobodys_is_cleared_and_a_locked_one_is_left(tmp_path: Path) -> None:
    """On an ordinary file system: clearing only removes directories, as in a cgroup."""
    dead = tmp_path / "daemon-00000001"
    (dead / "sandbox-1" / "program").mkdir(parents=True)
    (tmp_path / "daemon-not-ours").mkdir()
    (tmp_path / "supervisor").mkdir()
    tree = choose(None, {UNIFIED: str(tmp_path)}, frozenset())
    claimed, locks = delegation.claim(tree, os.getuid(), os.getgid())
    assert not dead.exists()
    assert (tmp_path / "daemon-not-ours").exists()
    assert (tmp_path / "supervisor").exists()
    assert claimed.rung is Rung.V2_BARE
    place = Path(claimed.paths[UNIFIED])
    assert place.parent == tmp_path
    delegation.sweep(tree)
    assert place.exists(), "its lock is held"
    for fd in locks:
        os.close(fd)
    delegation.sweep(tree)
    assert not place.exists()
