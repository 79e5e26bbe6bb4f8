"""Who is to blame: the first cause wins, in the order of what is known."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.model.limits import Limits
from sandboxd.model.outcome import (
    Ending,
    Evidence,
    Exited,
    LimitExceeded,
    NotStarted,
    Signaled,
    SyscallDenied,
    Usage,
    decide,
)
from sandboxd.model.signals import signal_name, signal_number

LIMITS = Limits(cpu_time=timedelta(seconds=1), wall_time=timedelta(seconds=3))
MISSING = NotStarted("ENOENT", "cannot execute x")
OVER_CPU = Usage(cpu_time=timedelta(seconds=1, microseconds=1))
OVER_WALL = Usage(wall_time=timedelta(seconds=3, microseconds=1))
AT_LIMIT = Usage(cpu_time=timedelta(seconds=1), wall_time=timedelta(seconds=3))
JUST_BEFORE = Usage(wall_time=timedelta(seconds=3, microseconds=-1))
OOM = Usage(oom_kill_count=1)
OOM_OVER_ALL = Usage(
    oom_kill_count=2, cpu_time=timedelta(seconds=9), wall_time=timedelta(seconds=9)
)
KILLED = 9
SEGV_WITH_CORE = 11 | 0x80


def exit_status(code: int) -> int:
    return code << 8


@pytest.mark.parametrize(
    ("evidence", "usage", "ending"),
    [
        (Evidence(), Usage(), Exited(0)),
        (Evidence(wait_status=exit_status(137)), Usage(), Exited(137)),
        (Evidence(wait_status=KILLED), Usage(), Signaled("KILL")),
        (Evidence(wait_status=SEGV_WITH_CORE), Usage(), Signaled("SEGV", core_dumped=True)),
        (Evidence(not_started=MISSING), Usage(), MISSING),
        (Evidence(), AT_LIMIT, Exited(0)),
        (Evidence(), OVER_CPU, LimitExceeded("cpu_time")),
        (Evidence(wait_status=exit_status(1)), OVER_WALL, LimitExceeded("wall_time")),
        (Evidence(wait_status=24), OVER_CPU, LimitExceeded("cpu_time")),
        (Evidence(wait_status=KILLED), OOM, LimitExceeded("memory_bytes")),
        (Evidence(), OOM, LimitExceeded("memory_bytes")),
        (Evidence(not_started=MISSING), OOM, LimitExceeded("memory_bytes")),
        (Evidence(), OOM_OVER_ALL, LimitExceeded("memory_bytes")),
        (
            Evidence(wait_status=KILLED, killed_for="wall_time"),
            OOM_OVER_ALL,
            LimitExceeded("wall_time"),
        ),
        (Evidence(killed_for="output_bytes"), Usage(), LimitExceeded("output_bytes")),
        (Evidence(killed_for="wall_time"), AT_LIMIT, LimitExceeded("wall_time")),
        (Evidence(killed_for="wall_time"), JUST_BEFORE, Exited(0)),
        (Evidence(killed_for="cpu_time"), JUST_BEFORE, LimitExceeded("cpu_time")),
        (Evidence(denied_syscall="ptrace", wait_status=31), Usage(), SyscallDenied("ptrace")),
        (Evidence(denied_syscall="", wait_status=31), Usage(), SyscallDenied("")),
        (Evidence(denied_syscall="ptrace"), OVER_CPU, LimitExceeded("cpu_time")),
        (Evidence(wait_status=31), Usage(), Signaled("SYS")),
    ],
)
def test_the_first_cause_wins(evidence: Evidence, usage: Usage, ending: Ending) -> None:
    assert decide(evidence, usage, LIMITS) == ending


def test_a_limit_that_is_not_set_is_not_exceeded() -> None:
    assert decide(Evidence(), OVER_CPU, Limits()) == Exited(0)


@given(st.integers(0, 255))
def test_every_exit_code_is_an_exit(code: int) -> None:
    assert decide(Evidence(wait_status=exit_status(code)), Usage(), LIMITS) == Exited(code)


@given(st.integers(1, 64).filter(lambda number: number not in {32, 33}), st.booleans())
def test_every_signal_is_named_and_the_system_agrees(number: int, core: bool) -> None:  # noqa: FBT001
    status = number | (0x80 if core else 0)
    assert os.WIFSIGNALED(status)
    ending = decide(Evidence(wait_status=status), Usage(), LIMITS)
    assert isinstance(ending, Signaled)
    assert ending.core_dumped is core
    assert not ending.signal.startswith("SIG")


def test_signals_are_named_without_sig() -> None:
    assert signal_name(signal.SIGSEGV) == "SEGV"
    assert signal_name(signal.SIGRTMIN + 3) == "RTMIN+3"


def test_each_signal_is_found_by_its_name() -> None:
    for number in range(1, signal.SIGRTMAX + 1):
        if number < 32 or number >= signal.SIGRTMIN:  # two between are the C library's
            assert signal_number(signal_name(number)) == number


@pytest.mark.parametrize("name", ["", "SIGTERM", "9", "RTMIN+31", "RTMIN+-1", "RTMIN+²", "NOPE"])
def test_what_is_no_signal_has_no_number(name: str) -> None:
    assert signal_number(name) is None
