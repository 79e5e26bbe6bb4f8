"""No descriptors, no processes, no memory, no room: a named error, and recovery by itself."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import broken
import pytest
from house import SLOWNESS, SPIN, House, eventually
from leftovers import at_rest, children_of, kill, settled, zygote_of
from post import PATIENCE, request, stub_of

from sandboxd.errors import HostError, SandboxdError, StageError
from sandboxd.identity import IdMode
from sandboxd.model.job import InputFile, OutputPath
from sandboxd.model.limits import DESCRIPTORS_PER_SANDBOX, SPARE_DESCRIPTORS, Limits
from sandboxd.model.outcome import Exited, LimitExceeded
from sandboxd.runtime import hostids
from sandboxd.server.serving import Server
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandboxd.model.outcome import RunResult

FILES = {
    "files": (InputFile("in", b"x" * 100_000),),
    "outputs": (OutputPath("out"),),
    "stdin": b"y" * 100_000,
}
COPY = "cat in > out; cat > /dev/null; echo done"


def attempt(house: House) -> RunResult | SandboxdError:
    """Run a job that needs everything; give the error in place of its result."""
    return answer(house, "/bin/sh", "-c", COPY, **FILES)


def answer(house: House, *argv: str, **fields: Any) -> RunResult | SandboxdError:
    try:
        return house.run(*argv, **fields)
    except SandboxdError as error:
        return error


def is_fine(result: RunResult | SandboxdError) -> bool:
    if isinstance(result, SandboxdError):
        return False
    assert (result.ending, result.stdout.data) == (Exited(0), b"done\n"), result
    assert [file.content for file in result.files] == [b"x" * 100_000], result
    return True


@contextmanager
def bounded(pid: int, number: int, soft: int) -> Iterator[None]:
    """Lower a limit of a process for the time of the context."""
    before = resource.prlimit(pid, number)
    resource.prlimit(pid, number, (soft, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has been replaced
            resource.prlimit(pid, number, before)


# --- descriptors ----------------------------------------------------------------------------------


@contextmanager
def few_descriptors(left: int) -> Iterator[None]:
    """Leave this process, which is the daemon, so many descriptors."""
    enough = SPARE_DESCRIPTORS + 4 * DESCRIPTORS_PER_SANDBOX + len(os.listdir("/proc/self/fd"))
    with bounded(0, resource.RLIMIT_NOFILE, enough):
        taken = all_descriptors()
        try:
            for _ in range(left):
                os.close(taken.pop())
            yield
        finally:
            for fd in taken:
                os.close(fd)


def all_descriptors() -> list[int]:
    """Take every descriptor that this process may still have."""
    taken: list[int] = []
    with suppress(OSError):  # EMFILE, at last
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    return taken


def test_a_daemon_without_descriptors_says_so_and_recovers(own_house: House) -> None:
    other = own_house.start("/bin/sh", "-c", "echo; exec sleep 300")
    other.wait_for()
    before = at_rest(own_house)
    fine = []
    for left in range(24):
        with few_descriptors(left):
            result = attempt(own_house)
        fine.append(is_fine(result))
        if isinstance(result, SandboxdError):
            assert says_descriptors(result)
        assert is_fine(attempt(own_house)), left
        settled(own_house, before)
    assert fine == sorted(fine), "from some number on all jobs are fine"
    assert set(fine) == {False, True}
    assert not other.future.done(), "a job that runs goes on"
    other.cancel()


def says_descriptors(error: SandboxdError) -> bool:
    assert isinstance(error, HostError | StageError), error
    assert error.reason == "DESCRIPTORS_EXHAUSTED" or "EMFILE" in str(error), error
    return True


def test_a_program_whose_filter_asks_is_never_judged_without_descriptors(own_house: House) -> None:
    assert own_house.output("/bin/echo", "done", policy="strict") == "done\n"
    before = at_rest(own_house)
    for left in range(24):
        with few_descriptors(left):
            result = answer(own_house, "/bin/echo", "done", policy="strict")
        if isinstance(result, SandboxdError):
            assert says_descriptors(result)
        else:
            assert (result.ending, result.stdout.data) == (Exited(0), b"done\n"), left
        settled(own_house, before)


def test_a_limit_holds_that_was_not_looked_at_for_want_of_a_descriptor(own_house: House) -> None:
    limits = Limits(cpu_time=timedelta(seconds=0.3 * SLOWNESS))
    running = own_house.start("/usr/bin/python3", "-c", f"print(flush=True)\n{SPIN}", limits=limits)
    running.wait_for()
    with few_descriptors(0):
        time.sleep(0.4 * SLOWNESS)  # the looks of that time fail
    result = running.result()
    assert result.ending == LimitExceeded("cpu_time")
    assert result.usage.cpu_time.total_seconds() < 0.9 * SLOWNESS, "long before RLIMIT_CPU"


def test_a_limit_too_low_for_one_more_sandbox_is_refused_beforehand(own_house: House) -> None:
    before = at_rest(own_house)
    with bounded(0, resource.RLIMIT_NOFILE, SPARE_DESCRIPTORS + DESCRIPTORS_PER_SANDBOX - 1):
        refused = attempt(own_house)
    assert isinstance(refused, HostError)
    assert refused.reason == "DESCRIPTORS_EXHAUSTED"
    assert "LimitNOFILE=" in refused.remedy
    assert is_fine(attempt(own_house))
    settled(own_house, before)


def test_where_blobs_are_kept_their_descriptors_are_kept_free(own_house: House) -> None:
    with bounded(0, resource.RLIMIT_NOFILE, SPARE_DESCRIPTORS + 5 * DESCRIPTORS_PER_SANDBOX):
        assert is_fine(attempt(own_house))
        own_house.supervisor.has_blobs = True
        refused = attempt(own_house)
        own_house.supervisor.has_blobs = False
    assert isinstance(refused, HostError)
    assert refused.reason == "DESCRIPTORS_EXHAUSTED"


@pytest.mark.parametrize("left", [0, 1, 2, 4, 6, 9])
def test_a_zygote_without_descriptors_is_named_or_replaced(own_house: House, left: int) -> None:
    before = at_rest(own_house)
    zygote = zygote_of(own_house)
    number = len(os.listdir(f"/proc/{zygote}/fd")) + left
    with bounded(zygote, resource.RLIMIT_NOFILE, number):
        result = attempt(own_house)
        assert is_fine(result) or "EMFILE" in str(result), result
    assert is_fine(attempt(own_house))
    settled(own_house, before)


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_a_launcher_without_descriptors_is_named_or_replaced(own_house: House, left: int) -> None:
    before = at_rest(own_house)
    launcher = own_house.launcher()
    number = len(os.listdir(f"/proc/{launcher}/fd")) + left
    with bounded(launcher, resource.RLIMIT_NOFILE, number):
        kill(zygote_of(own_house))
        result = attempt(own_house)
        assert is_fine(result) or "EMFILE" in str(result), result
    for zygote in children_of(launcher):  # one that was started meanwhile has inherited the bound
        kill(zygote)
    assert is_fine(attempt(own_house))
    settled(own_house, before)


# --- processes ------------------------------------------------------------------------------------


def test_a_zygote_without_processes_says_so_and_recovers(own_house: House) -> None:
    before = at_rest(own_house)
    with bounded(zygote_of(own_house), resource.RLIMIT_NPROC, 0):
        for _ in range(3):
            refused = attempt(own_house)
            assert isinstance(refused, StageError), refused
            assert (refused.stage, refused.errno) == ("clone", errno.EAGAIN)
    assert is_fine(attempt(own_house))
    settled(own_house, before)


@pytest.mark.parametrize(
    ("bound", "name"),
    [(broken.NO_PROCESS, "EAGAIN"), (broken.NO_DESCRIPTOR, "EMFILE")],
)
def test_an_init_that_cannot_start_the_program_says_why(
    own_house: House, fail: Callable[[str], None], bound: str, name: str
) -> None:
    before = at_rest(own_house)
    fail(f"scratch_size:{bound}")
    refused = attempt(own_house)
    assert isinstance(refused, StageError), refused
    assert name in str(refused)
    fail("")
    assert is_fine(attempt(own_house))
    settled(own_house, before)


def test_a_launcher_without_processes_says_so_and_recovers(own_house: House) -> None:
    before = at_rest(own_house)
    with bounded(own_house.launcher(), resource.RLIMIT_NPROC, 0):
        kill(zygote_of(own_house))
        for _ in range(3):
            refused = attempt(own_house)
            assert isinstance(refused, StageError), refused
            assert (refused.stage, refused.errno) == ("zygote", errno.EAGAIN)
    assert is_fine(attempt(own_house))
    settled(own_house, before)


def test_a_daemon_that_cannot_start_another_launcher_says_so_and_recovers(
    own_house: House,
) -> None:
    before = at_rest(own_house)
    with bounded(0, resource.RLIMIT_NPROC, 1):
        kill(own_house.launcher())
        for _ in range(3):
            refused = attempt(own_house)
            assert isinstance(refused, HostError | StageError), refused
            assert "EAGAIN" in str(refused), refused
    assert is_fine(attempt(own_house))
    settled(own_house, before)


# --- at the start ---------------------------------------------------------------------------------

STARVED = """
import os, resource, sys
number = getattr(resource, sys.argv[1])
resource.setrlimit(number, (int(sys.argv[2]),) * 2)
os.execv(sys.executable, [sys.executable, "-m", "sandboxd", "run", "--", "echo", "fine"])
"""


def starved(limit: str, value: int) -> tuple[int, str, list[str]]:
    """Run `sandboxd run` under a hard limit; give its exit code, its output, its complaints."""
    command = [sys.executable, "-c", STARVED, limit, str(value)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize("value", [8, 12, 16, 40, 79])
def test_a_start_with_few_descriptors_is_refused_in_one_line(house: House, value: int) -> None:
    before = at_rest(house)
    code, output, complaints = starved("RLIMIT_NOFILE", value)
    assert (code, output) == (125, "")
    (line,) = complaints
    assert line.startswith("sandboxd: cannot ")
    assert "LimitNOFILE=" in line
    settled(house, before)


def test_a_start_without_processes_is_refused_in_one_line(house: House) -> None:
    before = at_rest(house)
    code, output, complaints = starved("RLIMIT_NPROC", 1)
    assert (code, output) == (125, "")
    (line,) = complaints
    assert line.startswith("sandboxd: cannot ")
    assert "EAGAIN" in line
    assert "TasksMax=" in line
    settled(house, before)


# --- memory ---------------------------------------------------------------------------------------


def test_memory_that_the_daemon_cannot_have_is_named(own_house: House) -> None:
    before = at_rest(own_house)
    with bounded(0, resource.RLIMIT_FSIZE, 1000):  # what a memfd may hold, too
        refused = attempt(own_house)
    assert isinstance(refused, HostError | StageError), refused
    assert "EFBIG" in str(refused)
    assert is_fine(attempt(own_house))
    settled(own_house, before)


# --- room -----------------------------------------------------------------------------------------


class Full(NamedTuple):
    """A directory on a file system that has no inode left."""

    path: str

    def make_room(self) -> None:
        os.rmdir(f"{self.path}/taken")


@pytest.fixture
def full() -> Iterator[Full]:
    command = [sys.executable, str(Path(__file__).with_name("full.py"))]
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        command, stdin=-1, stdout=-1, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Full(f"/proc/{process.pid}/root/mnt")
        assert process.stdin is not None
        process.stdin.close()


def test_no_room_for_the_locks_of_host_ids_is_refused_at_the_start(
    house: House, full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    if house.host.id_mode is not IdMode.RANGE:
        pytest.skip("without a range there are no locks")
    monkeypatch.setattr(hostids, "LOCK_PLACE", f"{full.path}/ids-{{uid}}")
    before = at_rest(house)
    with pytest.raises(HostError) as refused, House():
        pass
    assert "No space left" in str(refused.value)
    assert full.path in str(refused.value)
    assert refused.value.remedy
    settled(house, before)
    full.make_room()
    with pytest.raises(HostError) as refused, House():  # for the directory, but not for the lock
        pass
    assert "No space left" in str(refused.value)
    settled(house, before)


def test_no_room_for_one_more_block_of_ids_fails_one_job_and_loses_no_block(
    own_house: House, full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = own_house.supervisor._ids  # noqa: SLF001 - nobody else can use all of them up
    if ids is None:
        pytest.skip("without a range there are no locks")
    blocks = len(ids._blocks)  # noqa: SLF001 - the same
    while len(ids._pairs):  # noqa: SLF001 - the same
        ids.take()
    with monkeypatch.context() as patch:
        patch.setattr(hostids, "LOCK_PLACE", f"{full.path}/ids-{{uid}}")
        for _ in range(3):
            refused = attempt(own_house)
            assert isinstance(refused, HostError), refused
            assert "No space left" in str(refused)
    assert len(ids._blocks) == blocks  # noqa: SLF001 - the same
    assert is_fine(attempt(own_house))


async def test_no_room_for_the_socket_is_refused_with_a_remedy(house: House, full: Full) -> None:
    for place in ("s.sock", "directory/s.sock"):
        path = f"{full.path}/{place}"
        with pytest.raises(HostError) as refused:
            async with Server(house.supervisor, [f"unix:{path}"]):
                pass
        assert refused.value.reason == "CANNOT_LISTEN"
        assert path in str(refused.value)
        assert refused.value.remedy
    full.make_room()
    address = f"unix:{full.path}/s.sock"
    async with Server(house.supervisor, [address]), stub_of(address) as stub:
        assert (await stub.GetHost(pb.GetHostRequest())).version


@contextmanager
def logging_to_a_full_disk(address: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server that cannot write its log."""
    command = [sys.executable, "-m", "sandboxd", "serve", "--listen", address]
    with (
        open("/dev/full", "w", encoding="ascii") as log,
        subprocess.Popen(command, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


async def test_a_log_without_room_keeps_no_server_from_serving(
    tmp_path: Path, house: House
) -> None:
    assert house.run("/bin/true").ending == Exited(0)
    socket = tmp_path / "s.sock"
    with logging_to_a_full_disk(f"unix:{socket}") as process:
        await asyncio.to_thread(eventually, lambda: socket.exists() or process.poll() is not None)
        async with stub_of(f"unix:{socket}") as stub:
            asked = request("echo", "served")
            answer = await stub.Run(asked, wait_for_ready=True, timeout=PATIENCE)
            assert answer.stdout.data == b"served\n"
        process.terminate()
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0
