"""The basics hold on every rung of the cgroup ladder and in both id modes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from house import FORK_UNTIL_REFUSED, SPIN, House, descendants, eventually, fields_of, seconds
from lane import unavailable

from sandboxd.errors import HostError, PreconditionError
from sandboxd.host import Settings
from sandboxd.identity import IdMode
from sandboxd.kernel.cgroups import Rung
from sandboxd.model.job import InputFile, OutputPath
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded, NotStarted, OutputFile, Signaled

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = {
    "best": Settings(),
    "v2-bare": Settings(cgroup=Rung.V2_BARE),
    "none": Settings(cgroup=Rung.NONE),
    "single": Settings(id_mode=IdMode.SINGLE),
    "single-none": Settings(id_mode=IdMode.SINGLE, cgroup=Rung.NONE),
}


@pytest.fixture(scope="module", params=SETTINGS)
def ladder(request: pytest.FixtureRequest, house: House) -> Iterator[House]:
    """Give a supervisor on each rung below this host's best, and on that."""
    assert house.host.cgroup_rung in {rung.value for rung in Rung}
    try:
        here = House(SETTINGS[request.param])
    except HostError as error:
        unavailable(str(error))
    with here:
        yield here


def test_the_rung_and_the_mode_are_as_asked(ladder: House, request: pytest.FixtureRequest) -> None:
    asked = SETTINGS[request.node.callspec.params["ladder"]]
    assert asked.cgroup is None or ladder.host.tree.rung is asked.cgroup
    assert asked.id_mode is None or ladder.host.id_mode is asked.id_mode
    subjects = {weakness.subject for weakness in ladder.host.weaknesses}
    assert ("ids" in subjects) == (ladder.host.id_mode is IdMode.SINGLE)
    assert ("memory_bytes" in subjects) == (not ladder.host.tree.limits_by("memory"))


def test_endings_are_told_apart(ladder: House) -> None:
    assert ladder.shell("exit 137").ending == Exited(137)
    assert ladder.shell("kill -9 $$").ending == Signaled("KILL")
    missing = ladder.run("missing").ending
    assert isinstance(missing, NotStarted)
    assert missing.errno == "ENOENT"


def test_files_and_streams_come_through(ladder: House) -> None:
    result = ladder.shell(
        "cat in - > out; cat /dev/stdin; echo e > /dev/stderr",
        files=(InputFile("in", b"\x00\xff"),),
        stdin=b"more",
        outputs=(OutputPath("out"), OutputPath("missing", optional=True)),
    )
    assert result.ending == Exited(0), result
    assert result.files == (OutputFile("out", b"\x00\xffmore"),)
    assert result.stderr.data == b"e\n"


def test_the_program_has_no_capability_and_is_an_ordinary_user(ladder: House) -> None:
    found = fields_of(ladder.output("/bin/cat", "/proc/self/status"))
    assert {found[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert found["Uid"].split() == ["1000"] * 4
    assert found["Gid"].split() == ["1000"] * 4
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert found["SigIgn"] == found["SigBlk"] == "0" * 16


def test_init_is_out_of_the_programs_reach(ladder: House) -> None:
    code = """
import os, resource
for attempt in (lambda: os.kill(1, 9), lambda: os.listdir('/proc/1/fd'),
                lambda: open('/proc/1/environ').read(), lambda: os.readlink('/proc/1/exe'),
                lambda: open('/proc/1/mem', 'rb'), lambda: os.listdir('/proc/1/root'),
                lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (1, 1)),
                lambda: resource.prlimit(1, resource.RLIMIT_NOFILE)):
    try:
        attempt()
    except OSError:
        print('refused')
    else:
        print('done')
"""
    result = ladder.python(code)
    assert result.ending == Exited(0), result
    found = result.stdout.data.split()
    # In `single` mode init has the program's id: PID 1 ignores its signals instead.
    expected = [b"refused"] * 8
    if ladder.host.id_mode is IdMode.SINGLE:
        found[0] = b"refused"
    assert found == expected


def test_memory_is_limited(ladder: House) -> None:
    code = "x = b'x' * (300 << 20); import time; time.sleep(60)"
    limits = Limits(memory_bytes=64 * MIB, wall_time=seconds(50))
    assert ladder.python(code, limits=limits).ending == LimitExceeded("memory_bytes")


def test_process_count_is_limited(ladder: House) -> None:
    result = ladder.python(FORK_UNTIL_REFUSED, limits=Limits(process_count=16))
    assert result.stdout.data == b"15 EAGAIN\n", result


def test_cpu_time_is_limited_over_all_processes(ladder: House) -> None:
    code = f"""
import os
if os.fork() == 0:
    {SPIN}
{SPIN}
"""
    result = ladder.python(code, limits=Limits(cpu_time=seconds(0.5), wall_time=seconds(50)))
    assert result.ending == LimitExceeded("cpu_time")
    assert seconds(0.49) <= result.usage.cpu_time < seconds(5)


def test_wall_time_is_limited(ladder: House) -> None:
    result = ladder.run("sleep", "60", limits=Limits(wall_time=seconds(0.2)))
    assert result.ending == LimitExceeded("wall_time")


def test_output_and_scratch_are_limited(ladder: House) -> None:
    limits = Limits(output_bytes=100, scratch_bytes=8192)
    result = ladder.shell("head -c 1000 /dev/zero; head -c 100000 /dev/zero > f", limits=limits)
    assert result.ending == Exited(1)
    assert result.stdout.truncated
    assert set(result.outcome.limits_touched) == {"output_bytes", "scratch_bytes"}


def test_a_daemonised_process_dies_before_the_answer(ladder: House) -> None:
    ladder.settle()
    before = descendants_of(ladder)
    result = ladder.shell("trap '' TERM; setsid sleep 301 & setsid sh -c 'sleep 302 &'; exit 4")
    assert result.ending == Exited(4)
    left = {name_of(pid) for pid in descendants_of(ladder) - before}
    assert left <= {"sandboxd-init", ""}, "its init may still be on its way out"
    ladder.settle()
    assert descendants_of(ladder) == before


def test_usage_is_told_as_far_as_the_rung_can(ladder: House) -> None:
    code = "import time; x = b'x' * (32 << 20)\nwhile time.process_time() < 0.3: pass"
    usage = ladder.python(code).usage
    assert seconds(0.25) <= usage.cpu_time < seconds(5)
    assert usage.wall_time >= seconds(0.2)
    assert usage.peak_memory_bytes >= 30 * MIB, "where it is sampled, the kernel lags a little"


def test_no_mechanism_is_claimed_that_is_not_there(ladder: House) -> None:
    mechanisms = ladder.host.mechanisms
    tree = ladder.host.tree
    assert ("cgroup" in mechanisms["memory_bytes"]) == bool(tree.limits_by("memory"))
    assert ("cgroup" in mechanisms["process_count"]) == bool(tree.limits_by("pids"))
    assert ("cgroup" in mechanisms["cpu_time"]) == bool(tree.paths)


def test_what_the_rung_lacks_is_refused_when_it_is_required(ladder: House) -> None:
    if tuple(ladder.host.tree.paths):
        assert ladder.run("/bin/true", require=("cgroups",)).ending == Exited(0)
    else:
        with pytest.raises(PreconditionError) as refused:
            ladder.run("/bin/true", require=("cgroups",))
        assert refused.value.reason == "ENFORCEMENT_UNAVAILABLE"


def test_cancelling_gives_everything_back(ladder: House) -> None:
    ladder.settle()
    before = descendants_of(ladder)
    running = ladder.start("/bin/sh", "-c", "sleep 300 & echo; wait")
    running.wait_for()
    running.cancel()
    eventually(lambda: descendants_of(ladder) == before, 5)


def test_jobs_at_once_keep_to_themselves(ladder: House) -> None:
    running = [ladder.start("/bin/sh", "-c", f"sleep 0.2; ls /tmp; exit {n}") for n in range(20)]
    for number, job in enumerate(running):
        result = job.result()
        assert (result.ending, result.stdout.data) == (Exited(number), b"")


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def descendants_of(house: House) -> set[int]:
    return descendants(house.launcher())


def test_the_host_describes_the_policy_that_is_enforced(ladder: House) -> None:
    result = ladder.run("/bin/true")
    assert result.outcome.policy_digest == ladder.host.policies["default"].digest
