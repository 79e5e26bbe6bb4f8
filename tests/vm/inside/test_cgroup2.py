"""On rung v2 the kernel holds the limits, in cgroups that systemd delegated to an ordinary user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from house import FORK_UNTIL_REFUSED, House, cgroups_below, eventually, seconds

from sandboxd.kernel.cgroups import UNIFIED, Rung
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from house import Running

HOG = "x = b'x' * (int(__import__('sys').argv[1]) << 20)"
"""Touches as many MiB as it is told."""
MOUNT = Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        yield house


def kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


def place_of(house: House) -> Path:
    """Name the directory of the one sandbox that runs now."""
    below = Path(house.supervisor._tree.paths[UNIFIED])  # noqa: SLF001
    (found,) = [path for path in below.iterdir() if path.is_dir()]
    return found


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def waiting(house: House, limits: Limits) -> Running:
    """Start a job that has started its program and waits."""
    running = house.start("/bin/sh", "-c", "echo; read line; sleep 60", limits=limits)
    running.wait_for()
    return running


def test_the_rung_is_v2_with_the_three_controllers(house: House) -> None:
    assert house.host.tree.rung is Rung.V2
    assert house.host.tree.controllers >= {"cpu", "memory", "pids"}
    assert {w.subject for w in house.host.weaknesses} == set()


def test_each_answer_says_that_cgroup2_held_the_limits(house: House) -> None:
    held = {row.limit: row.mechanism for row in house.run("/bin/true").outcome.enforced}
    assert held["memory_bytes"] == "cgroup2 memory.max"
    assert held["process_count"] == "cgroup2 pids.max"
    assert held["cpu_time"] == "deadline on cgroup2 cpu.stat"
    half = house.run("/bin/true", limits=Limits(cpu_count=0.5)).outcome.enforced
    assert "cgroup2 cpu.max" in {row.limit: row.mechanism for row in half}["cpu_count"]
    required = ("memory_bytes", "process_count", "cpu_time", "cgroup-kill", "range-ids")
    assert house.run("/bin/true", require=required).ending == Exited(0)


def test_the_daemon_lies_in_its_supervisor_leaf_and_the_program_in_its_own(house: House) -> None:
    own = read(Path("/proc/self/cgroup")).removeprefix("0::")
    assert own.endswith("/supervisor")
    assert read(MOUNT / own[1:] / "cgroup.subtree_control") == ""
    running = waiting(house, Limits())
    place = place_of(house)
    assert own.removesuffix("/supervisor") in str(place)
    inside = read(place / "program/cgroup.procs").split()
    assert {read(Path(f"/proc/{pid}/comm")) for pid in inside} <= {"sh", "sleep"}
    assert inside
    running.cancel()


def test_limits_are_the_values_of_the_cgroups_while_a_job_runs(house: House) -> None:
    limits = Limits(memory_bytes=48 * MIB, process_count=7, cpu_count=0.5)
    running = waiting(house, limits)
    program = place_of(house) / "program"
    assert int(read(program / "memory.max")) == 48 * MIB
    assert read(program / "memory.oom.group") == "1"
    assert read(program.parent / "memory.swap.max") == "0"
    assert int(read(program.parent / "memory.max")) > 48 * MIB
    assert read(program / "pids.max") == "7"
    assert read(program / "cpu.max") == "50000 100000"
    running.cancel()


def test_memory_beyond_the_limit_ends_the_job(house: House) -> None:
    result = house.python(HOG, "200", limits=Limits(memory_bytes=64 * MIB))
    assert result.ending == LimitExceeded("memory_bytes")
    assert result.usage.oom_kill_count > 0


def test_a_child_killed_for_memory_is_told_though_its_parent_would_exit_with_0(
    house: House,
) -> None:
    script = f'python3 -I -c "{HOG}" 200; exit 0'
    result = house.shell(script, limits=Limits(memory_bytes=64 * MIB))
    assert result.ending == LimitExceeded("memory_bytes")


def test_swap_is_no_way_around_the_limit(house: House) -> None:
    assert len(read(Path("/proc/swaps")).splitlines()) > 1, "the guest has swap"
    code = f"""
{HOG}
print(flush=True)
import time
time.sleep(60)
"""
    running = house.start(
        *("/usr/bin/python3", "-I", "-c", code, "40"), limits=Limits(memory_bytes=64 * MIB)
    )
    running.wait_for()
    assert read(place_of(house) / "program/memory.swap.current") == "0"
    running.cancel()
    result = house.python(HOG, "200", limits=Limits(memory_bytes=64 * MIB))
    assert result.ending == LimitExceeded("memory_bytes")
    assert result.usage.peak_memory_bytes <= 64 * MIB


def test_peak_memory_and_processes_are_the_kernels_own(house: House) -> None:
    script = f'python3 -I -c "{HOG}" 100 & sleep 0.1 & sleep 0.1 & wait'
    usage = house.shell(script).usage
    assert 100 * MIB <= usage.peak_memory_bytes < 130 * MIB
    if kernel() >= (6, 6):
        assert usage.peak_process_count == 4
    else:  # pids.peak came with Linux 6.6
        assert usage.peak_process_count in {0, 4}


def test_a_fork_bomb_stops_at_the_limit_and_is_told(house: House) -> None:
    result = house.python(FORK_UNTIL_REFUSED, limits=Limits(process_count=10))
    assert result.stdout.data == b"9 EAGAIN\n"
    assert "process_count" in result.outcome.limits_touched


def test_a_half_processor_is_half_a_processor(house: House) -> None:
    code = "import time\nend = time.monotonic() + 2\nwhile time.monotonic() < end: pass"
    usage = house.python(code, limits=Limits(cpu_count=0.5)).usage
    assert usage.throttled_time > seconds(0.5)
    assert usage.cpu_time < usage.wall_time * 0.75


def test_nothing_is_left_of_a_job_that_daemonised(house: House) -> None:
    house.run("/bin/true")
    places = house.supervisor._tree.paths.values()  # noqa: SLF001
    house.settle()
    before = cgroups_below(places)
    script = "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM; sleep 60' & done; exit 0"
    assert house.shell(script).ending == Exited(0)
    eventually(lambda: cgroups_below(places) == before)
