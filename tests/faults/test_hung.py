"""Helpers that answer no more, stages that never end: a named error in time, and recovery."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import broken
import pytest
from house import SLOWNESS, House, descendants, eventually, seconds
from leftovers import at_rest, children_of, kill, settled, zygote_of

from sandboxd.errors import SandboxdError, StageError
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited, LimitExceeded
from sandboxd.runtime import nursery, run, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from house import Running

    from sandboxd.model.outcome import RunResult

SHORT = 1.5 * SLOWNESS
"""Seconds that these tests are patient, in place of many; a start takes a third of it."""
BOUND = 6 * SHORT
"""Seconds after which everybody has been answered."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (nursery, sandbox, run):
        for name in vars(module):
            if name.endswith("_PATIENCE"):
                monkeypatch.setattr(module, name, SHORT)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process for the time of the context, if it lives so long."""
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        os.close(pidfd)


@contextmanager
def at_once() -> Iterator[None]:
    """See to it that something is answered soon."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < BOUND


def answer_of(running: Running) -> RunResult | SandboxdError:
    with at_once():
        try:
            return running.result()
        except SandboxdError as error:
            return error


def sleeping(house: House) -> Running:
    running = house.start("/bin/sh", "-c", "echo; exec sleep 300")
    running.wait_for()
    return running


# --- helpers --------------------------------------------------------------------------------------


def test_a_hung_zygote_fails_its_jobs_and_is_replaced(own_house: House) -> None:
    before = at_rest(own_house)
    zygote = zygote_of(own_house)
    running = sleeping(own_house)
    with stopped(zygote):
        answers = [answer_of(job) for job in [own_house.start("/bin/true") for _ in range(3)]]
        answers.append(answer_of(running))
        assert own_house.run("/bin/true").ending == Exited(0), "while the old one is stopped still"
    faults = [answer for answer in answers if isinstance(answer, StageError)]
    assert [fault.stage for fault in faults if fault.reason == "STAGE_FAILED"]
    assert "no answer within" in str(faults[0])
    fine = [answer for answer in answers if not isinstance(answer, SandboxdError)]
    assert len(faults) + len(fine) == len(answers)
    assert {result.ending for result in fine} <= {Exited(0)}
    assert zygote_of(own_house) != zygote
    settled(own_house, before)


def test_a_hung_launcher_keeps_no_zygote_from_working(own_house: House) -> None:
    before = at_rest(own_house)
    with stopped(own_house.launcher()):
        assert own_house.run("/bin/true").ending == Exited(0)
    settled(own_house, before)


def test_a_hung_launcher_is_replaced_when_it_is_needed(own_house: House) -> None:
    before = at_rest(own_house)
    launcher = own_house.launcher()
    zygote = zygote_of(own_house)
    with stopped(launcher):
        kill(zygote)
        answer_of(own_house.start("/bin/true"))
        with at_once():
            assert own_house.run("/bin/true").ending == Exited(0), "while it is stopped still"
    assert own_house.launcher() != launcher
    assert own_house.output("id", "-u") == "1000\n"
    settled(own_house, before)


def test_leaving_waits_for_no_hung_helper(house: House) -> None:
    before = at_rest(house)
    for helper_of in (House.launcher, zygote_of):
        own = House()
        own.__enter__()
        assert own.run("/bin/true").ending == Exited(0)
        with stopped(helper_of(own)), at_once():
            own.__exit__()
        settled(house, before)


@pytest.mark.parametrize("first", [0, 3])
def test_an_init_that_hangs_is_killed_and_ends_nothing_wrongly(
    own_house: House, first: int
) -> None:
    before = at_rest(own_house)
    zygote = zygote_of(own_house)
    limits = Limits(wall_time=seconds(SHORT))
    running = own_house.start("/bin/sh", "-c", f"echo; sleep 0.3; exit {first}", limits=limits)
    running.wait_for()
    (init,) = children_of(zygote)
    with stopped(init):
        answer = answer_of(running)
    ending = None if isinstance(answer, SandboxdError) else answer.ending
    assert isinstance(answer, StageError) or ending == LimitExceeded("wall_time"), answer
    assert zygote_of(own_house) == zygote
    assert own_house.run("/bin/true").ending == Exited(0)
    settled(own_house, before)


# --- stages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["names", "scratch_size", "umask"])
def test_a_stage_that_never_ends_is_our_fault_and_its_sandbox_killed(
    own_house: House, fail: Callable[[str], None], stage: str
) -> None:
    before = at_rest(own_house)
    other = sleeping(own_house)
    fail(f"{stage}:{broken.HANG}")
    broken.forget_tapes(own_house)
    answer = answer_of(own_house.start("/bin/sh", "-c", "echo ran"))
    assert isinstance(answer, StageError), answer
    assert "no answer within" in str(answer)
    fail("")
    broken.forget_tapes(own_house)
    assert own_house.run("/bin/true").ending == Exited(0)
    assert not other.future.done(), "another job goes on"
    other.cancel()
    settled(own_house, before)


def test_a_root_that_is_never_finished_is_our_fault_and_its_zygote_killed(
    own_house: House, fail: Callable[[str], None]
) -> None:
    before = at_rest(own_house)
    launcher = own_house.launcher()
    fail(f"root_files:{broken.HANG}")
    broken.forget_tapes(own_house)
    kill(zygote_of(own_house))
    answer = answer_of(own_house.start("/bin/true"))
    assert isinstance(answer, StageError), answer
    assert answer.stage == "root"
    eventually(lambda: not descendants(launcher))
    fail("")
    broken.forget_tapes(own_house)
    assert own_house.run("/bin/true").ending == Exited(0)
    assert own_house.launcher() == launcher
    settled(own_house, before)
