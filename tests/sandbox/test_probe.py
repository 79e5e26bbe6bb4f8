"""In a real sandbox, the kernel treats every system call as the policy's text says.

The oracle says what a policy means; here the kernel says what it does: each number there is, made
with invalid arguments by a child of its own. What the kernel itself answers to an allowed call is
seen by making the same call without a sandbox, where the answer looks like a refusal.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from house import SLOWNESS, House, has, seconds
from oracle import (
    ALLOW,
    ENOSYS,
    EPERM,
    ERRNO,
    KILL,
    MACHINES,
    NOTIFY,
    X32,
    Call,
    Oracle,
    filters_of,
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
PATIENCE_MILLISECONDS = 300 * SLOWNESS
WEIGHED = 40_000
"""So many calls of the lattice are weighed, chosen at random but always the same."""
REFUSALS = {-errno.EPERM, -errno.ENOSYS}

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
    if not has("gcc"):
        pytest.skip("this machine has no gcc")
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


def skip_where_refused(house: House, policy: str) -> None:
    try:
        house.supervisor.check(Job(argv=("true",), policy=policy))
    except PreconditionError as error:
        pytest.skip(str(error))


def made_in(
    house: House, policy: str, executor: bytes, calls: list[Listed], *how: str
) -> list[Result]:
    result = house.run(
        *("./executor", "list", *how),
        files=(InputFile("executor", executor, executable=True), InputFile("list", as_list(calls))),
        policy=policy,
        limits=Limits(
            memory_bytes=256 * MIB,
            memlock_bytes=64 * KIB,  # without any the kernel answers EPERM itself
            cpu_time=seconds(60),
            wall_time=seconds(120),
            output_bytes=2 * MIB,
        ),
    )
    assert result.ending == Exited(0), result
    results = results_in(result.stdout.data)
    assert len(results) == len(calls)
    return results


PROBED = ["default", "build", "nested"] if SLOWNESS == 1 else ["default"]


@pytest.mark.parametrize("policy", PROBED)
def test_the_kernel_judges_every_argument_as_the_policy_says(
    house: House, policy: str, executor: bytes
) -> None:
    """The oracle's own lattice, high bits included; the calls are weighed, not made."""
    skip_where_refused(house, policy)
    oracle = oracle_for(house, policy)
    filters = filters_of(house.host.policies[policy], ARCHITECTURE)
    asked = [
        Listed(call.number, call.arguments)
        for call in oracle.calls(*filters)
        if call.machine == MACHINE and any("arguments" in r for r in oracle.rules_on(call.number))
    ]
    calls = sorted(random.Random(1).sample(asked, min(len(asked), WEIGHED)))  # noqa: S311
    results = made_in(house, policy, executor, calls, "weigh", "60000")
    says = [oracle.says(Call(MACHINE, *call)) for call in calls]
    weighed = {ALLOW: ENOSYS}
    wrong = [
        (call, hex(said), result)
        for call, said, result in zip(calls, says, results, strict=True)
        if result != (Fate.RETURNED, -(weighed.get(said, said) & ~ERRNO))
    ]
    assert not wrong
    assert {ALLOW, EPERM} <= set(says)


def is_as_said(call: Listed, said: int, result: Result) -> bool:
    """Tell whether a call ended as the policy says; what it allows must not look like a refusal."""
    if said == ALLOW and call.number in FATES:
        return result.fate is FATES[call.number]
    if said == ALLOW:
        return result.fate is Fate.RETURNED and result.value not in REFUSALS
    if said == KILL:
        return result == (Fate.SIGNALED, signal.SIGSYS)
    unseen = {(Fate.RETURNED, -errno.ENXIO), (Fate.SIGNALED, signal.SIGILL)}
    refused = (Fate.RETURNED, -(said & ~ERRNO))
    return result == refused or (call.number in UNSEEN.values() and result in unseen)


@pytest.mark.parametrize("policy", PROBED)
def test_the_kernel_does_with_every_number_what_the_policy_says(
    house: House, policy: str, executor: bytes, unfiltered: Any
) -> None:
    skip_where_refused(house, policy)
    oracle = oracle_for(house, policy)
    calls = [Listed(number, INVALID) for number in NUMBERS]
    says = [oracle.says(Call(MACHINE, number & 2**32 - 1, INVALID)) for number in NUMBERS]
    assert NOTIFY not in says, "such a call would end the job, and with it the probe"
    results = made_in(house, policy, executor, calls, "1", str(PATIENCE_MILLISECONDS))
    judged = list(zip(calls, says, results, strict=True))
    doubtful = [call for call, said, got in judged if said == ALLOW and got.value in REFUSALS]
    freely = dict(zip(doubtful, unfiltered(doubtful), strict=True))
    wrong = [each for each in judged if not is_as_said(*each) and freely.get(each[0]) != each[2]]
    assert not wrong
    assert says.count(ALLOW) > 200
    assert {KILL, ENOSYS, ALLOW} <= set(says) or ARCHITECTURE != "x86_64"
