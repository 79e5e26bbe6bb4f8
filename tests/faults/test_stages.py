"""Every stage made to fail once: named, no program runs, nothing is left, the next job is fine."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import resource
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import broken
import grpc
import pytest
from house import House, descendants, eventually
from leftovers import at_rest, kill, name_of, settled, zygote_of
from post import PATIENCE, refusal, stub_of

from sandboxd import plan
from sandboxd.errors import HostError, SandboxdError, StageError
from sandboxd.host import Settings
from sandboxd.identity import IdMode
from sandboxd.model.job import InputFile, Job, Network, OutputPath, Terminal
from sandboxd.model.outcome import Exited, NotStarted, RunResult
from sandboxd.server import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandboxd.model.tape import Operation, Tape

ROOT = Path(__file__).resolve().parents[2]
BROKEN = Path(__file__).with_name("broken.py")

SHOUT = ("/bin/sh", "-c", "echo ran; echo ran > trace")
JOB = Job(
    argv=SHOUT,
    files=(InputFile("place/file", b"content"),),
    outputs=(OutputPath("trace", optional=True),),
    network=Network.LOOPBACK,
)
TERMINAL_JOB = Job(argv=SHOUT, terminal=Terminal())
NOTIFYING_JOB = replace(JOB, policy="strict")
JOBS = {"pipes": JOB, "terminal": TERMINAL_JOB, "notifying": NOTIFYING_JOB}
ENDINGS = {"program/working_directory", "program/exec"}
"""Where the job itself can be to blame: that is told as an ending, not as an error."""


def documented() -> list[str]:
    """Name every stage of docs/stages.md, with its chapter, in order."""
    found = []
    chapter = ""
    for line in (ROOT / "docs" / "stages.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            chapter = line.removeprefix("## ").lower()
        elif match := re.match(r"\| `(\w+)` \|", line):
            found.append(f"{chapter}/{match[1]}")
    return found


STAGES = [*documented(), "job/terminal", "program/controlling_terminal"]
ROOT_STAGES = [stage for stage in STAGES if stage.startswith("root/")]
OTHER_STAGES = [stage for stage in STAGES if not stage.startswith("root/")]


planned_for: dict[str, plan.Plan] = {}


def tapes_of(house: House, kind: str) -> dict[str, Tape]:
    """Give the four tapes of a kind of job as this supervisor really has them made."""
    if kind not in planned_for:
        house.do(house.supervisor.run(JOBS[kind]))
        planned_for[kind] = broken.made.pop()
    planned = planned_for[kind]
    return {
        "root": plan.root_tape(house.host),
        "sandbox": plan.sandbox_tape(house.host, planned.sandbox),
        "job": planned.job_tape,
        "program": planned.program_tape,
    }


def stage_of(house: House, place: str) -> tuple[Job, Operation]:
    """Find a job that has a stage on this host, and the operation with which it begins."""
    name, _, stage = place.partition("/")
    for kind, job in JOBS.items():
        for operation in tapes_of(house, kind)[name]:
            if operation.stage == stage:
                return job, operation
    pytest.skip(f"no tape of this host ({house.host.cgroup_rung}) has the stage {place}")


def attempt(house: House, job: Job) -> tuple[RunResult | SandboxdError, bytes]:
    """Run a job; give its result, or the error in place of one, and all that it wrote."""
    pieces: list[bytes] = []
    work = house.supervisor.run(job, on_output=lambda _, piece: pieces.append(piece))
    try:
        return house.do(work), b"".join(pieces)
    except SandboxdError as error:
        return error, b"".join(pieces)


@pytest.fixture
def mended(house: House) -> Iterator[None]:
    """See to it, after a test, that the next job is fine and nothing else is left."""
    before = at_rest(house)
    yield
    broken.forget_tapes(house)
    result, output = attempt(house, JOB)
    assert isinstance(result, RunResult), result
    assert (result.ending, output) == (Exited(0), b"ran\n")
    assert [file.content for file in result.files] == [b"ran\n"]
    settled(house, before)


def the_fault(house: House, job: Job = JOB) -> StageError:
    """Run a job that must fail by our fault, and whose program must not run."""
    error, output = attempt(house, job)
    assert type(error) is StageError, error
    assert output == b""
    assert error.stage in str(error)
    return error


# --- stages that are operations -------------------------------------------------------------------


@pytest.mark.usefixtures("fail")
@pytest.mark.parametrize("kind", JOBS)
def test_every_stage_of_this_hosts_tapes_is_made_to_fail(house: House, kind: str) -> None:
    tapes = tapes_of(house, kind)
    used = {f"{name}/{operation.stage}" for name, tape in tapes.items() for operation in tape}
    assert used <= set(STAGES)


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("place", OTHER_STAGES)
def test_a_stage_that_fails_is_named_and_no_program_runs(
    house: House, fail: Callable[[str], None], place: str
) -> None:
    job, operation = stage_of(house, place)
    name = broken.errno_of(operation)
    fail(place)
    broken.forget_tapes(house)
    if place in ENDINGS:
        result, output = attempt(house, job)
        assert isinstance(result, RunResult), result
        assert (result.ending, output, result.files) == (not_started(name), b"", ())
    else:
        error = the_fault(house, job)
        assert (error.stage, errno.errorcode[error.errno]) == (operation.stage, name)
        assert name in str(error)
    fail("")


def not_started(name: str) -> NotStarted:
    text = os.strerror(getattr(errno, name))
    return NotStarted(name, f"cannot execute {broken.MISSING}: {text}")


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("name", broken.IMPOSSIBLE)
def test_the_errno_is_that_of_the_kernel(
    house: House, fail: Callable[[str], None], name: str
) -> None:
    for stage in ("nesting", "scratch_size", "seccomp"):
        fail(f"{stage}:{name}")
        broken.forget_tapes(house)
        error = the_fault(house)
        assert (error.stage, errno.errorcode[error.errno]) == (stage, name)
    fail("")


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("place", ROOT_STAGES)
def test_a_root_that_cannot_be_built_again_is_named(
    house: House, fail: Callable[[str], None], place: str
) -> None:
    _, operation = stage_of(house, place)
    fail(place)
    broken.forget_tapes(house)
    kill(zygote_of(house))
    for _ in range(2):
        error = the_fault(house)
        assert error.stage == operation.stage
        assert errno.errorcode[error.errno] == broken.errno_of(operation)
    fail("")


@pytest.mark.parametrize("place", ROOT_STAGES)
def test_a_start_without_a_root_is_refused_and_leaves_nothing(
    house: House, fail: Callable[[str], None], place: str
) -> None:
    _, operation = stage_of(house, place)
    before = at_rest(house)
    fail(place)
    with pytest.raises((HostError, StageError)) as refused, House():
        pass
    assert operation.stage in str(refused.value) or isinstance(refused.value, HostError)
    assert broken.errno_of(operation) in str(refused.value)
    settled(house, before)


# --- stages around the tapes ----------------------------------------------------------------------


def needs_cgroups(house: House, *, unified: bool = False) -> None:
    tree = house.host.tree
    if not tree.paths or (unified and not tree.unified):
        pytest.skip(f"no such cgroup on rung {house.host.cgroup_rung}")


@pytest.mark.usefixtures("mended")
def test_no_program_runs_where_the_sandbox_cannot_be_cloned(house: House) -> None:
    zygote = zygote_of(house)
    soft, hard = resource.prlimit(zygote, resource.RLIMIT_NPROC)
    resource.prlimit(zygote, resource.RLIMIT_NPROC, (0, hard))
    try:
        error = the_fault(house)
    finally:
        resource.prlimit(zygote, resource.RLIMIT_NPROC, (soft, hard))
    assert (error.stage, error.errno) == ("clone", errno.EAGAIN)


@pytest.mark.usefixtures("mended")
def test_no_program_runs_where_its_ids_cannot_be_mapped(
    house: House, fail: Callable[[str], None]
) -> None:
    fail("id_maps")
    error = the_fault(house)
    assert (error.stage, error.errno) == ("id_maps", errno.EPERM)
    assert error.detail.endswith("uid_map")
    fail("")


@pytest.mark.usefixtures("mended")
def test_no_program_runs_where_its_cgroup_cannot_be_handed_over(
    house: House, fail: Callable[[str], None]
) -> None:
    needs_cgroups(house, unified=True)
    fail("cgroup_hand_over")
    error = the_fault(house)
    assert (error.stage, error.errno) == ("cgroup_hand_over", errno.EINVAL)
    fail("")


@pytest.mark.usefixtures("mended")
def test_no_program_runs_without_its_limits(house: House, fail: Callable[[str], None]) -> None:
    needs_cgroups(house)
    house.do(house.supervisor.run(JOB))
    if not broken.made.pop().cgroup_writes:
        pytest.skip("nothing is written to cgroups on this rung")
    fail("cgroup_limits")
    error = the_fault(house)
    assert (error.stage, error.errno) == ("cgroup_limits", errno.EINVAL)
    assert error.detail.endswith(" = impossible"), "the file is named"
    fail("")


@pytest.mark.usefixtures("mended")
def test_a_report_that_makes_no_sense_is_our_fault(fail: Callable[[str], None]) -> None:
    with House(Settings(compiled=False)) as house:  # the compiled one dies of such a tape
        fail("report")
        assert the_fault(house).stage == "report"
        fail("")


def test_no_job_runs_where_a_cgroup_cannot_be_made(own_house: House) -> None:
    needs_cgroups(own_house)
    own_house.settle()
    places = own_house.supervisor._tree.paths.values()  # noqa: SLF001 - nobody else knows them
    for place in places:
        os.rmdir(place)
    error = the_fault(own_house)
    assert (error.stage, error.errno) == ("cgroup", errno.ENOENT)
    assert error.detail.startswith(tuple(places)), "the path is named"
    with ExitStack() as locks:
        for place in places:
            os.mkdir(place)
            lock_fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            locks.callback(os.close, lock_fd)
            fcntl.flock(
                lock_fd, fcntl.LOCK_EX
            )  # or another lane's daemon takes it for a dead one's
        if own_house.host.tree.controllers:
            return  # in v2 the handing down of controllers was lost with the directory
        assert own_house.run("/bin/true").ending == Exited(0)
        own_house.settle()
        assert own_house.cgroups() == set(places)


def test_a_launcher_that_cannot_enter_is_refused_and_leaves_nothing(
    house: House, fail: Callable[[str], None]
) -> None:
    if house.host.id_mode is not IdMode.RANGE:
        pytest.skip("one's own id can always be mapped")
    before = at_rest(house)
    fail("outer_namespace")
    with pytest.raises(HostError) as refused, House():
        pass
    assert refused.value.reason == "NAMESPACE_UNAVAILABLE"
    assert "newuidmap" in str(refused.value)
    assert refused.value.remedy
    settled(house, before)
    fail("")


# --- a whole server -------------------------------------------------------------------------------


class Server:
    """`sandboxd serve` with a broken plan, its socket and its log."""

    def __init__(self, directory: Path, fault: str) -> None:
        self.address = f"unix:{directory}/s.sock"
        self.log = directory / "log"
        command = [sys.executable, str(BROKEN), "serve", "--slots", "1", "--pool", "0"]
        command += ["--listen", self.address]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stderr=log, env={**os.environ, broken.VARIABLE: fault}
            )

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def serves(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return "serving on" in self.log.read_text()


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize("fault", ["nesting:ENOENT", "place_files", "seccomp:ENOTDIR"])
async def test_a_server_answers_what_failed_and_goes_on(tmp_path: Path, fault: str) -> None:
    server = Server(tmp_path, fault)
    try:
        await asyncio.to_thread(eventually, server.serves)
        helpers = sorted(map(name_of, descendants(server.process.pid)))
        async with stub_of(server.address) as stub:
            for _ in range(5):  # of one slot: one that was lost would keep the next waiting
                asked = wire.from_job(JOB)
                refused = await refusal(stub.Run(asked, timeout=PATIENCE))
                assert refused.code is grpc.StatusCode.INTERNAL
                assert refused.info.reason == "STAGE_FAILED"
                stage, _, name = fault.partition(":")
                assert refused.info.metadata["stage"] == stage
                assert refused.info.metadata["errno"] == (name or "EIO")
                assert refused.message.startswith(f"cannot complete stage {stage}: ")
        assert sorted(map(name_of, descendants(server.process.pid))) == helpers
        server.process.terminate()
        assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0
    finally:
        server.end()


@pytest.mark.usefixtures("house")
def test_a_server_without_a_root_says_so_in_one_line_and_ends(tmp_path: Path) -> None:
    server = Server(tmp_path, "root_files")
    assert server.process.wait(PATIENCE) == 125
    (line,) = server.log.read_text().splitlines()
    assert line.startswith("sandboxd: cannot complete stage root_files: ")
    assert "ENOTDIR" in line
