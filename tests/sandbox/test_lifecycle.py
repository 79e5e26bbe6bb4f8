"""Nothing is left behind: by jobs, by cancelled jobs, by killed helpers, by a killed daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from house import (
    SLOWNESS,
    House,
    Running,
    descendants,
    eventually,
    fewer,
    has,
    seconds,
    status_of,
)

from sandboxd.errors import HostError, JobError, PreconditionError, StageError
from sandboxd.model.job import InputFile, OutputPath
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator

JOB_COUNT = int(os.environ.get("SANDBOXD_TEST_JOBS", "200"))
SCRIPT = Path(__file__).with_name("fifty_jobs.py")
DEAD_WITHIN = 1.0 * SLOWNESS
"""Seconds, promised: after the daemon's death everything of its jobs is gone."""


class Holdings(NamedTuple):
    """Everything that a job could leave behind on its host."""

    descriptors: Counter[str]
    processes: frozenset[int]
    helper_descriptors: tuple[int, ...]
    cgroups: frozenset[str]
    pair_count: int
    live: int
    temporary_files: frozenset[str]


def holdings(house: House) -> Holdings:
    house.settle()
    own = Counter(kind_of(fd) for fd in os.listdir("/proc/self/fd"))
    below = descendants(os.getpid())
    helpers = tuple(descriptor_count(pid) for pid in sorted(below))
    ids = house.supervisor._ids  # noqa: SLF001 - nobody else may know how many are free
    return Holdings(
        own,
        frozenset(below),
        helpers,
        frozenset(house.cgroups()),
        len(ids._pairs) if ids is not None else 0,  # noqa: SLF001 - the same
        house.supervisor._live,  # noqa: SLF001 - the same
        frozenset(own_temporary_files()),
    )


def own_temporary_files() -> list[str]:
    """Name what is ours: another lane may run beside this one, as the same user."""
    return [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("sandboxd")]


def descriptor_count(pid: int) -> int:
    """Count a helper's descriptors; those of a sandbox cannot be seen, even by us."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return -1


def kind_of(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").split(":")[0]
    except OSError:
        return "gone"


def settled(house: House, before: Holdings) -> None:
    """Wait until nothing is held but what was before; fail with what is."""
    eventually(lambda: holdings(house) == before, 10, lambda: changes(before, holdings(house)))


def changes(before: Holdings, after: Holdings) -> list[tuple[str, object, object]]:
    fields = zip(Holdings._fields, before, after, strict=True)
    return [(name, one, other) for name, one, other in fields if one != other]


@pytest.fixture
def own_house(house: House) -> Iterator[House]:
    """Give a supervisor of this test alone, whose helpers may be killed."""
    with House() as own:
        assert own.host.cgroup_rung == house.host.cgroup_rung
        assert own.run("/bin/true").ending == Exited(0)
        yield own


# --- jobs -----------------------------------------------------------------------------------------


def test_many_jobs_in_a_row_leave_nothing_behind(house: House) -> None:
    house.run("/bin/true")
    before = holdings(house)
    files = (InputFile("a/b", b"x" * 5000),)
    for number in range(JOB_COUNT):
        result = house.shell(
            f"cat a/b > c; echo {number}", files=files, outputs=(OutputPath("c"),), stdin=b"y"
        )
        assert result.stdout.data == b"%d\n" % number
        assert result.files[0].content == b"x" * 5000
    assert holdings(house) == before


def test_jobs_that_end_badly_leave_nothing_behind(house: House) -> None:
    house.run("/bin/true")
    before = holdings(house)
    for _ in range(fewer(10)):
        house.run("missing-program")
        house.run("yes", limits=Limits(output_bytes=10, stop_on_output=True))
        house.run("sleep", "60", limits=Limits(wall_time=seconds(0.02)))
        house.python("x = b'x' * (200 << 20)", limits=Limits(memory_bytes=32 * MIB))
        house.shell("mkfifo f; sleep 60 & exit 1", outputs=(OutputPath("f"), OutputPath("g")))
        with pytest.raises(JobError):
            house.run("/bin/true", limits=Limits(memory_bytes=1 << 60))
        with pytest.raises(PreconditionError):
            house.run("/bin/true", policy="unknown")
    assert holdings(house) == before


def test_jobs_at_once_keep_to_themselves_and_leave_nothing_behind(house: House) -> None:
    house.run("/bin/true")
    before = holdings(house)
    script = 'cat > f; sleep 0.2; cat f; ls /tmp /workspace /dev/shm | grep -vc : ; echo "$1"'
    running = [
        house.start("/bin/sh", "-c", script, "sh", str(n), stdin=b"%d\n" % n)
        for n in range(fewer(50))
    ]
    for number, job in enumerate(running):
        lines = job.result().stdout.data.split()
        assert (lines[0], lines[-1]) == (b"%d" % number, b"%d" % number)
    settled(house, before)


def test_cancelling_kills_at_once_and_gives_everything_back(house: House) -> None:
    house.run("/bin/true")
    before = holdings(house)
    running = [house.start("/bin/sh", "-c", "sleep 300 & echo; wait") for _ in range(5)]
    for job in running:
        job.wait_for()
    for job in running:
        job.cancel()
    settled(house, before)
    assert house.run("/bin/true").ending == Exited(0)


def test_cancelling_at_any_moment_of_the_set_up_gives_everything_back(house: House) -> None:
    house.run("/bin/true")
    before = holdings(house)
    for moment in range(0, 60, 60 // fewer(60)):
        job = house.start("/bin/sh", "-c", "sleep 300", files=(InputFile("f", bytes(100000)),))
        house.do(_turns(moment))
        job.cancel()
    settled(house, before)
    assert house.run("/bin/true").ending == Exited(0)


async def _turns(count: int) -> None:
    import asyncio  # noqa: PLC0415 - of this helper alone

    for _ in range(count):
        await asyncio.sleep(0)


# --- helpers --------------------------------------------------------------------------------------


def launcher_below(daemon: int) -> int:
    (launcher,) = (pid for pid in descendants(daemon) if int(status_of(pid)["PPid"]) == daemon)
    return launcher


zygote_below = launcher_below


def zygote_of(house: House) -> int:
    house.settle()  # or an init on its way out would be counted
    return zygote_below(house.launcher())


def kill(pid: int) -> None:
    """Kill a helper, and wait until nothing that ends with it can be taken for alive."""
    known = identities({pid} | descendants(pid))
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not still_alive(known), 10)


def live(house: House) -> Running:
    running = house.start("/bin/sh", "-c", "echo; exec sleep 300")
    running.wait_for()
    return running


def test_a_killed_zygote_fails_its_jobs_and_no_later_one(own_house: House) -> None:
    running = live(own_house)
    kill(zygote_of(own_house))
    with pytest.raises(StageError):
        running.result()
    assert own_house.run("/bin/true").ending == Exited(0)
    assert own_house.run("/bin/true").ending == Exited(0)


def test_a_killed_launcher_is_replaced(own_house: House) -> None:
    running = live(own_house)
    kill(own_house.launcher())
    with pytest.raises(StageError):
        running.result()
    assert own_house.run("/bin/true").ending == Exited(0)
    assert own_house.output("id", "-u") == "1000\n"
    limits = Limits(memory_bytes=32 * MIB)
    ending = own_house.python("x = b'x' * (100 << 20)", limits=limits).ending
    assert ending == LimitExceeded("memory_bytes"), "limits hold under the new launcher, too"


def test_helpers_killed_again_and_again_are_replaced_and_leave_nothing(own_house: House) -> None:
    for _ in range(fewer(5)):
        kill(zygote_of(own_house))
        assert own_house.run("/bin/true").ending == Exited(0)
        kill(own_house.launcher())
        assert own_house.run("/bin/true").ending == Exited(0)
    before = holdings(own_house)
    kill(zygote_of(own_house))
    assert own_house.run("/bin/true").ending == Exited(0)
    kill(own_house.launcher())
    assert own_house.run("/bin/true").ending == Exited(0)
    after = holdings(own_house)
    assert after.descriptors == before.descriptors
    assert after.cgroups == before.cgroups
    assert after.pair_count == before.pair_count


def test_a_killed_init_fails_its_job_alone(own_house: House) -> None:
    other = live(own_house)
    running = own_house.start("/bin/sh", "-c", "echo; exec sleep 301")
    running.wait_for()
    (program,) = (pid for pid in descendants(zygote_of(own_house)) if b"301" in command_line(pid))
    os.kill(int(status_of(program)["PPid"]), signal.SIGKILL)
    with pytest.raises(StageError):
        running.result()
    assert not other.future.done()
    other.cancel()
    assert own_house.run("/bin/true").ending == Exited(0)


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_leaving_a_supervisor_removes_all_that_it_made(house: House) -> None:
    before = holdings(house)
    with House() as own:
        job = live(own)
        assert holdings(house) != before
    settled(house, before)
    assert job.future.done()


# --- the daemon -----------------------------------------------------------------------------------


class Daemon(NamedTuple):
    """A daemon in a process of its own, and where its cgroups lie."""

    process: subprocess.Popen[bytes]
    cgroups: tuple[str, ...]

    def cgroups_left(self) -> list[str]:
        return [path for path in self.cgroups if os.path.exists(path)]


@contextmanager
def daemon(count: int) -> Iterator[Daemon]:
    """Run a daemon with `count` sleeping jobs, and make sure that it ends."""
    command = [sys.executable, str(SCRIPT), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=with_path()) as process:
        try:
            assert process.stdout is not None
            found = Daemon(process, tuple(json.loads(process.stdout.readline())))
            assert found.cgroups_left() == list(found.cgroups)
            yield found
        finally:
            process.kill()


def with_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_killed_daemon_leaves_no_process_and_no_cgroup_within_a_second(house: House) -> None:
    with daemon(50) as killed:
        below = identities(descendants(killed.process.pid))
        assert len(below) >= 2 + 50 * 3
        assert bool(killed.cgroups) == bool(house.host.tree.paths)
        killed.process.kill()
        eventually(lambda: not still_alive(below) and not killed.cgroups_left(), DEAD_WITHIN)
    with House() as next_one:
        assert next_one.run("/bin/true").ending == Exited(0)


def test_a_daemon_killed_with_its_launcher_leaves_no_process_and_the_next_start_sweeps(
    house: House,
) -> None:
    assert house.run("/bin/true").ending == Exited(0)
    with daemon(10) as killed:
        below = identities(descendants(killed.process.pid))
        launcher = launcher_below(killed.process.pid)
        killed.process.send_signal(signal.SIGSTOP)  # so that it cannot see its launcher die
        os.kill(launcher, signal.SIGKILL)
        killed.process.kill()
        eventually(lambda: not still_alive(below), DEAD_WITHIN)
    with House() as next_one:
        assert next_one.run("/bin/true").ending == Exited(0)
        assert not killed.cgroups_left()


def test_a_stopped_launcher_keeps_the_jobs_of_a_killed_daemon_alive_for_no_longer(
    house: House,
) -> None:
    with daemon(5) as killed:
        launcher = launcher_below(killed.process.pid)
        helpers = {launcher, zygote_below(launcher)}
        below = identities(descendants(killed.process.pid) - helpers)
        os.kill(launcher, signal.SIGSTOP)
        try:
            killed.process.kill()
            eventually(lambda: not still_alive(below), 5)
        finally:
            os.kill(launcher, signal.SIGCONT)
    assert house.run("/bin/true").ending == Exited(0)


def test_another_daemons_start_leaves_a_living_one_alone(house: House) -> None:
    assert house.run("/bin/true").ending == Exited(0)
    with daemon(5) as other:
        everything = descendants(other.process.pid)
        with House() as own:
            assert own.run("/bin/true").ending == Exited(0)
        assert descendants(other.process.pid) == everything
        assert other.cgroups_left() == list(other.cgroups)


def test_two_daemons_of_one_user_never_share_host_ids() -> None:
    with House() as own, daemon(3) as other:
        theirs = ids_of(descendants(other.process.pid))
        jobs = [live(own) for _ in range(3)]
        ours = ids_of(descendants(own.launcher()))
        for job in jobs:
            job.cancel()
    assert not (theirs & ours) - {os.getuid()}


def ids_of(pids: set[int]) -> set[int]:
    return {int(status_of(pid)["Uid"].split()[0]) for pid in pids}


def identities(pids: set[int]) -> set[tuple[int, str]]:
    """Give (pid, start time): a pid alone may soon be somebody else's."""
    return {(pid, start) for pid in pids if (start := start_of(pid))}


def start_of(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if stat[0] in {"Z", "X"} else stat[19]


def still_alive(known: set[tuple[int, str]]) -> set[int]:
    return {pid for pid, start in known if start_of(pid) == start}


# --- embedded -------------------------------------------------------------------------------------


def test_run_works_in_a_program_of_its_own_and_ends_with_it() -> None:
    code = """
import sandboxd, sandboxd.local
result = sandboxd.run(["python3", "-c", "print(6 * 7)"])
print(result.ending, result.stdout.data)
print(*sandboxd.local._local()._supervisor._tree.paths.values())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        check=False,
        timeout=60,
        env=with_path(),
    )
    first, second = done.stdout.decode().splitlines()
    assert first == "Exited(exit_code=0) b'42\\n'", done
    assert done.stderr == b""
    assert not [path for path in second.split() if os.path.exists(path)]


def test_many_starts_and_ends_at_once_do_not_disturb_each_other() -> None:
    code = """
import sandboxd
for _ in range(3):
    assert sandboxd.run(["true"]).ending == sandboxd.Exited(0)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    count = fewer(8)
    for _ in range(max(3 // SLOWNESS, 1)):
        with ExitStack() as scope:
            running = [
                scope.enter_context(subprocess.Popen(command, env=with_path(), stderr=-1))
                for _ in range(count)
            ]
            errors = [process.communicate(timeout=60)[1] for process in running]
        assert [process.returncode for process in running] == [0] * count, errors


def test_a_supervisor_that_is_not_entered_runs_nothing(house: House) -> None:
    import asyncio  # noqa: PLC0415 - of this test alone

    from sandboxd.model.job import Job  # noqa: PLC0415
    from sandboxd.runtime.supervisor import Supervisor  # noqa: PLC0415

    supervisor = Supervisor(house.host)
    with pytest.raises(HostError) as refused:
        asyncio.run(supervisor.run(Job(argv=("/bin/true",))))
    assert refused.value.reason == "NOT_STARTED"
    assert has("true")
