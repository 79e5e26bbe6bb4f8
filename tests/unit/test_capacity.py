"""How many sandboxes fit: decided from the texts of /proc, one bound at a time."""

from __future__ import annotations

import resource
from typing import Any, NamedTuple

import pytest
from conditions import NONE, SINGLE, V1, identity
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.doctor.capacity import (
    LATE,
    MEMORY_CGROUPS,
    UNBOUNDED,
    Limits,
    Supply,
    Texts,
    scarcest,
    supplies,
)
from sandboxd.errors import HostError
from sandboxd.host import Settings, probe_host

PLENTY = Limits(1 << 20, resource.RLIM_INFINITY)
CGROUP = "/sys/fs/cgroup/system.slice/sandboxd.service"
SYS = "/proc/sys"
LOAD = "0.10 0.20 0.30 1/236 4711"


def bound(texts: Texts, limits: Limits = PLENTY, **changes: Any) -> Supply:
    asked = {"identity": identity(), "tree": NONE, "slot_count": 1, **changes}
    return scarcest(supplies(texts, limits, **asked))


class Case(NamedTuple):
    """What is scarce, how many sandboxes it is enough for, and what mends it."""

    texts: Texts
    count: int
    name: str
    mending: str
    changes: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it


CASES = (
    Case({}, 32768, "subordinate ids", "/etc/subuid"),
    Case(
        {f"{SYS}/kernel/pid_max": "1300", "/proc/loadavg": LOAD},
        (1300 - 236 - 64) // 2,
        "kernel.pid_max",
        "sudo sysctl -w kernel.pid_max=2600",
    ),
    Case(
        {f"{SYS}/kernel/threads-max": "1300", "/proc/loadavg": LOAD},
        500,
        "kernel.threads-max",
        "sysctl -w kernel.threads-max=2600",
    ),
    Case(
        {f"{SYS}/fs/file-max": "5024", f"{SYS}/fs/file-nr": "800\t0\t5024"},
        100,
        "fs.file-max",
        "sysctl -w fs.file-max=10048",
    ),
    Case(
        {f"{SYS}/fs/epoll/max_user_watches": "1664"},
        100,
        "fs.epoll.max_user_watches",
        "sysctl -w fs.epoll.max_user_watches=3328",
    ),
    *(
        Case(
            {f"{SYS}/user/max_{kind}_namespaces": "108"},
            100,
            f"user.max_{kind}_namespaces",
            f"sysctl -w user.max_{kind}_namespaces=216",
        )
        for kind in ("user", "pid", "mnt", "ipc", "uts", "cgroup")
    ),
    Case(
        {f"{SYS}/user/max_net_namespaces": "128"},
        128 - 8 - 128 // LATE,
        "user.max_net_namespaces",
        "sysctl -w user.max_net_namespaces=256",
    ),
    Case(
        {
            f"{SYS}/kernel/keys/maxkeys": "200",
            f"{SYS}/kernel/keys/maxbytes": "20000",
            "/proc/key-users": "    0:  9 8/8 3/1000000 40/25000000\n 1000:  9 9/9 7/200 80/20000",
        },
        200 - 7 - 8 - 200 // LATE,
        "kernel.keys.maxkeys",
        "sysctl -w kernel.keys.maxkeys=400",
        {"identity": SINGLE},
    ),
    Case(
        {f"{SYS}/kernel/keys/maxkeys": "20000", f"{SYS}/kernel/keys/maxbytes": "2000"},
        (2000 - 40 - 250) // 5,
        "kernel.keys.maxbytes",
        "sysctl -w kernel.keys.maxbytes=4000",
        {"identity": SINGLE},
    ),
    Case(
        {f"{CGROUP}/pids.max": "4915", f"{CGROUP}/pids.current": "51"},
        2400,
        f"pids.max of {CGROUP}",
        "TasksMax=",
    ),
    Case(
        {
            f"{CGROUP}/cgroup.max.descendants": "311",
            f"{CGROUP}/cgroup.stat": "nr_descendants 10\nnr_dying_descendants 90",
        },
        100,
        f"cgroup.max.descendants of {CGROUP}",
        "raise it",
    ),
    Case({f"{CGROUP}/memory.max": str(1 << 30)}, 512, f"memory.max of {CGROUP}", "MemoryMax="),
    Case(
        {"/proc/meminfo": "MemFree: 9 kB\nMemAvailable: 2097152 kB"}, 1024, "available memory", ""
    ),
    Case(
        {"/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t300\t1"},
        (MEMORY_CGROUPS - 300 - MEMORY_CGROUPS // LATE) // 3,
        "memory cgroups",
        "fewer cgroups",
        {"tree": V1},
    ),
    Case(
        {},
        (1000 - 64 - 16 - 4) // 2,
        "the hard limit of open files",
        "LimitNOFILE=",
        {"limits": Limits(1000, 9999)},
    ),
    Case(
        {},
        (1000 - 64 - 16 - 400) // 2,
        "the hard limit of open files",
        "LimitNOFILE=",
        {"limits": Limits(1000, 9999), "slot_count": 100},
    ),
    Case({}, 100, "the hard limit of processes", "LimitNPROC=", {"limits": Limits(9999, 264)}),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}: {case.count}")
def test_what_is_scarcest_bounds_the_sandboxes_and_says_what_mends_it(case: Case) -> None:
    found = bound(case.texts, **case.changes)
    assert (found.name, found.sandbox_count) == (case.name, case.count)
    assert case.mending in found.mending
    assert str(found.total) in found.evidence


def test_keys_bound_nobody_whose_sandboxes_have_ids_of_their_own() -> None:
    assert bound({f"{SYS}/kernel/keys/maxkeys": "20"}).name == "subordinate ids"


def test_a_cgroup_without_a_bound_bounds_nothing() -> None:
    texts = {f"{CGROUP}/pids.max": "max", f"{CGROUP}/memory.max": "max"}
    assert bound(texts).name == "subordinate ids"


@given(st.dictionaries(st.sampled_from([path for case in CASES for path in case.texts]), st.text()))
def test_what_others_write_into_these_files_never_keeps_a_daemon_from_starting(
    texts: Texts,
) -> None:
    assert bound(texts).sandbox_count >= 1


@given(st.integers(0, 1 << 40), st.integers(1, 1 << 21))
def test_a_sandbox_more_than_fit_would_be_one_too_many(total: int, each: int) -> None:
    count = Supply("x", total, each, used=7, spare=9).sandbox_count
    left = total - 16
    assert count * each <= left < (count + 1) * each or (count == 1 and left < 2 * each)


@pytest.mark.parametrize("field", ["slot_count", "pool_size"])
def test_settings_beyond_what_fits_are_refused_at_the_start(field: str) -> None:
    ceiling = probe_host(Settings()).sandbox_ceiling
    with pytest.raises(HostError, match=f"cannot have {ceiling + 1} .*{field}") as refused:
        probe_host(Settings(**{field: ceiling + 1}))
    assert refused.value.reason == "SANDBOXES_EXHAUSTED"
    assert refused.value.remedy.endswith("or ask for fewer")


def test_the_pool_leaves_room_for_the_jobs_of_all_slots() -> None:
    ceiling = probe_host(Settings()).sandbox_ceiling
    host = probe_host(Settings(slot_count=2, pool_size=ceiling))
    assert (host.pool_size, host.pool_ceiling) == (ceiling - 2, ceiling - 2)


def test_nothing_known_bounds_nothing() -> None:
    assert UNBOUNDED.sandbox_count == UNBOUNDED.total
