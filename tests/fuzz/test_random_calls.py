"""Programs that call the kernel at random change nothing outside their sandbox.

A failure names the seed: SANDBOXD_FUZZ_SEED=SEED makes the same calls again.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest
from hosts import CLOCK_SECONDS, clock_offset, host_state, is_left
from house import SLOWNESS, House, eventually, has, seconds
from syscalls.executor import Fate, as_list, built, results_in
from syscalls.generator import random_calls, random_memory

from sandboxd.errors import PreconditionError
from sandboxd.kernel.seccomp import policies_directory
from sandboxd.model.job import InputFile, Job
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited
from sandboxd.model.policy import Action

SECONDS = float(os.environ.get("SANDBOXD_FUZZ_SECONDS", "16"))
SEED = int(os.environ.get("SANDBOXD_FUZZ_SEED", "1"))
POLICIES = sorted(path.stem for path in policies_directory().glob("*.toml"))
CALLS = 2000
BATCH = 25
PATIENCE_MILLISECONDS = 40 * SLOWNESS
WITHOUT_CHILDREN = {"strict"}
"""Policies under which a program cannot fork: its job ends with the first call that ends it."""
ENDING = frozenset(
    {
        *("brk", "close_range", "exit", "exit_group", "mmap", "mprotect", "mremap", "munmap"),
        *("pkey_mprotect", "rt_sigreturn", "rt_sigprocmask", "seccomp", "shmat", "tgkill"),
        *("alarm", "pause", "rt_sigaction", "setitimer", "uretprobe"),
    }
)
"""Calls that such a program is without every other time, that it may come farther."""
LEAST_RETURNED = 50
ROOM = Limits(memory_bytes=192 * MIB, process_count=32, cpu_time=seconds(5), wall_time=seconds(15))


@pytest.fixture(scope="session")
def executor() -> bytes:
    if not has("gcc"):
        pytest.skip("this machine has no gcc")
    return built()


def fates_of(house: House, policy: str, executor: bytes, seed: int) -> Counter[Fate]:
    """Run one program that makes the calls of a seed."""
    source = random.Random(seed)  # noqa: S311 - to be made again
    batch = 0 if policy in WITHOUT_CHILDREN else BATCH
    rules = house.host.policies[policy].rules
    told = {n for r in rules if r.action in {Action.KILL, Action.NOTIFY} for n in r.syscalls}
    without = ENDING | told if not batch and seed % 2 else frozenset()
    listed = as_list(random_calls(source, CALLS, without), random_memory(source))
    result = house.run(
        *("./executor", "list", str(batch), str(PATIENCE_MILLISECONDS)),
        files=(InputFile("executor", executor, executable=True), InputFile("list", listed)),
        policy=policy,
        limits=ROOM if batch else Limits(memory_bytes=192 * MIB, wall_time=seconds(1)),
    )
    return Counter(result.fate for result in results_in(result.stdout.data))


@pytest.mark.parametrize("policy", POLICIES)
def test_random_system_calls_change_nothing_outside(
    house: House, policy: str, executor: bytes
) -> None:
    try:
        house.supervisor.check(Job(argv=("true",), policy=policy))
    except PreconditionError as error:
        pytest.skip(str(error))
    before, offset = host_state(house), clock_offset()
    fates: Counter[Fate] = Counter()
    deadline, seed = time.monotonic() + SECONDS / len(POLICIES), SEED
    while time.monotonic() < deadline or seed == SEED:
        fates += fates_of(house, policy, executor, seed)
        eventually(lambda: not is_left(house), seen=lambda: is_left(house))
        assert host_state(house) == before, f"seed {seed}"
        assert abs(clock_offset() - offset) < CLOCK_SECONDS, f"seed {seed}"
        assert house.run("/bin/echo", "fine").ending == Exited(0), f"seed {seed}"
        seed += 1
    print(f"{policy}: seeds {SEED} to {seed - 1}: {dict(fates)}")  # noqa: T201 - for `make fuzz`
    assert fates[Fate.RETURNED] >= LEAST_RETURNED, "hardly a call was made"
