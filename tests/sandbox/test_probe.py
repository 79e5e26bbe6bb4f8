"""In a real sandbox, the kernel treats every system call as the policy's text says.

The oracle says what a policy means; here the kernel says what it does: each number there is, made
with invalid arguments by a child of its own. What the kernel itself answers to an allowed call is
seen by making the same calls without a sandbox.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from house import House, seconds
from oracle import (
    ALLOW,
    ENOSYS,
    ERRNO,
    KILL,
    MACHINES,
    NOTIFY,
    X32,
    Call,
    Oracle,
    number_of,
    rules_of,
    shipped_text,
)
from syscalls.executor import Fate, Listed, Result, as_list, built, results_in

from sandboxd.errors import PreconditionError
from sandboxd.kernel.seccomp import HIGHEST_NUMBER
from sandboxd.model.job import InputFile, Job
from sandboxd.model.limits import KIB, MIB, Limits
from sandboxd.model.outcome import Exited

if TYPE_CHECKING:
    from pathlib import Path

ARCHITECTURE = os.uname().machine
MACHINE = MACHINES[ARCHITECTURE]
INVALID = (2**64 - 1,) * 6
PATIENCE_MILLISECONDS = 300

KNOWN = range(HIGHEST_NUMBER + 1)
BEYOND = (1024, 4095, 2**16, X32 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1)
HIGH_BITS = tuple(1 << 32 | number for number in (0, 39, 321, 400))
"""The kernel takes a number's low half."""
ALIASES = tuple(X32 | number for number in (0, 1, 39, 59, 101, 321, 512, 520, 547, 1023))
NUMBERS = (*KNOWN, *BEYOND, *HIGH_BITS, *(ALIASES if ARCHITECTURE == "x86_64" else ()))

BY_DESIGN = {
    "exit": (Fate.ENDED, "it ends the caller"),
    "exit_group": (Fate.ENDED, "the same"),
    "pause": (Fate.BLOCKED, "it waits for a signal"),
    "rt_sigreturn": (Fate.SIGNALED, "it takes registers off a stack on which there are none"),
}
"""Allowed calls that do not come back, whatever their arguments, and why."""
UNSEEN = {"uretprobe": 335, "uprobe": 336} if ARCHITECTURE == "x86_64" else {}
"""Newer kernels let these pass every filter: a probe's trampoline in any program ends in them. Made
from anywhere else they do nothing but fail."""
FATES = {number_of(name, MACHINE): fate for name, (fate, _) in BY_DESIGN.items()}


@pytest.fixture(scope="module")
def executor() -> bytes:
    return built()


@pytest.fixture(scope="module")
def unfiltered(executor: bytes, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give a function that makes calls as nobody in particular, without a sandbox."""
    directory: Path = tmp_path_factory.mktemp("unfiltered")
    program, listed = directory / "executor", directory / "list"
    program.write_bytes(executor)
    program.chmod(0o755)

    def make(calls: list[Listed]) -> list[Result]:
        listed.write_bytes(as_list(calls))
        command = [program, listed, "1", str(PATIENCE_MILLISECONDS)]
        done = subprocess.run(command, cwd=directory, capture_output=True, check=True, timeout=120)
        return results_in(done.stdout)

    return make


def oracle_for(house: House, name: str) -> Oracle:
    rules = rules_of(shipped_text(name), shipped_text)
    if not house.host.tree.limits_by("memory"):  # as `host.policy_on` says
        calls = ["memfd_create", "memfd_secret", "shmget"]
        rules = [{"syscalls": calls, "action": "errno", "errno": "ENOSYS"}, *rules]
    return Oracle(rules, ARCHITECTURE)


def made_in(house: House, policy: str, executor: bytes, calls: list[Listed]) -> list[Result]:
    result = house.run(
        *("./executor", "list", "1", str(PATIENCE_MILLISECONDS)),
        files=(InputFile("executor", executor, executable=True), InputFile("list", as_list(calls))),
        policy=policy,
        limits=Limits(
            memory_bytes=256 * MIB,
            memlock_bytes=64 * KIB,  # without any the kernel answers EPERM itself
            cpu_time=seconds(60),
            wall_time=seconds(120),
        ),
    )
    assert result.ending == Exited(0), result
    results = results_in(result.stdout.data)
    assert len(results) == len(calls)
    return results


def is_as_said(call: Listed, said: int, result: Result, unfiltered: Result | None) -> bool:
    """Tell whether a call ended as the policy says; what it allows must not look like a refusal."""
    if call.number in UNSEEN.values() and result != (Fate.RETURNED, -(said & ~ERRNO)):
        return result in {(Fate.RETURNED, -errno.ENXIO), (Fate.SIGNALED, signal.SIGILL)}
    if unfiltered is None:
        killed, refused = (Fate.SIGNALED, signal.SIGSYS), (Fate.RETURNED, -(said & ~ERRNO))
        return result == (killed if said == KILL else refused)
    if call.number in FATES:
        return result.fate is FATES[call.number]
    refusals = {-errno.EPERM, -errno.ENOSYS} - {unfiltered.value}
    return result.fate is Fate.RETURNED and result.value not in refusals


@pytest.mark.parametrize("policy", ["default", "build", "nested"])
def test_the_kernel_does_with_every_number_what_the_policy_says(
    house: House, policy: str, executor: bytes, unfiltered: Any
) -> None:
    try:
        house.supervisor.check(Job(argv=("true",), policy=policy))
    except PreconditionError as error:
        pytest.skip(str(error))
    oracle = oracle_for(house, policy)
    calls = [Listed(number, INVALID) for number in NUMBERS]
    says = [oracle.says(Call(MACHINE, number & 2**32 - 1, INVALID)) for number in NUMBERS]
    assert NOTIFY not in says, "such a call would end the job, and with it the probe"
    results = made_in(house, policy, executor, calls)
    allowed = [call for call, said in zip(calls, says, strict=True) if said == ALLOW]
    freely = dict(zip(allowed, unfiltered(allowed), strict=True))
    judged = zip(calls, says, results, strict=True)
    wrong = [each for each in judged if not is_as_said(*each, freely.get(each[0]))]
    assert not wrong
    assert len(allowed) > 200
    assert {KILL, ENOSYS, ALLOW} <= set(says) or ARCHITECTURE != "x86_64"
