"""What the policy `nested` opens, what it leaves shut, and that no other job pays for it."""

from __future__ import annotations

import resource
from dataclasses import replace

import pytest
from test_plan import HOSTS, host_on, plan

from sandboxd.errors import PreconditionError
from sandboxd.identity import IdMode
from sandboxd.kernel import landlock, mounts, namespaces, seccomp
from sandboxd.model.job import Network
from sandboxd.model.policy import ProcMode, parse_policy
from sandboxd.plan import SandboxPlan, sandbox_tape

POLICIES = seccomp.load_policies([seccomp.policies_directory()])
HOST = HOSTS["v1", IdMode.RANGE]
WITHOUT_NESTING = [policy for policy in POLICIES.values() if policy.proc is not ProcMode.NESTED]


def nesting_of(policy: str) -> list[tuple[object, ...]]:
    """Give what a policy's sandboxes write about namespaces below them."""
    tape = sandbox_tape(HOST, plan(policy=policy).sandbox)
    return [operation.arguments for operation in tape if operation.stage == "nesting"]


@pytest.mark.parametrize("policy", WITHOUT_NESTING, ids=lambda policy: policy.name)
def test_every_other_sandbox_has_nesting_closed_twice(policy: object) -> None:
    name = getattr(policy, "name")  # noqa: B009 - an object to pytest
    assert nesting_of(name) == [("/proc/sys/user/max_user_namespaces", "0")]
    closed = {"unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "mount_setattr"}
    named = {call for rule in POLICIES[name].rules for call in rule.syscalls}
    assert not named & closed


def test_a_nested_job_may_make_namespaces_but_not_without_number() -> None:
    written = dict(nesting_of("nested"))  # type: ignore[arg-type]  # pairs
    assert written.keys() == {f"/proc/sys/user/max_{k}_namespaces" for k in ("user", "net", "mnt")}
    assert all(0 < int(str(count)) <= 256 for count in written.values())


def test_a_nested_proc_is_one_mount_that_nothing_covers() -> None:
    (proc,) = mounts.sandbox_proc("nested")
    *_, flags, options = proc.arguments
    assert options == ""
    assert flags == mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC


def test_a_root_is_put_together_where_every_sandbox_has_a_directory_too() -> None:
    points = [operation.arguments[1] for operation in mounts.sandbox_proc("nested")]
    assert mounts.NEW_ROOT in points


def test_landlock_keeps_signals_and_sockets_in_and_no_mount_out() -> None:
    (operation,) = [op for op in plan(policy="nested").program_tape if op.stage == "landlock"]
    abi, files, tcp, scopes, places = operation.arguments
    assert (abi, files, tcp, places) == (7, 0, 0, [])
    assert scopes == 3
    assert landlock.scopes_only(5) == (), "an empty ruleset is an error to the kernel"


def test_what_landlock_holds_and_does_not_hold_is_said_in_the_outcome() -> None:
    *limits, held, missing = plan(policy="nested").enforced
    assert (held.limit, held.value) == ("landlock", "signals, abstract sockets")
    assert (missing.limit, missing.mechanism) == ("landlock", "none")
    *same, whole = plan().enforced
    assert whole.value == "files, TCP, signals, abstract sockets"
    assert limits == same


@pytest.mark.parametrize("network", list(Network))
def test_all_other_steps_are_those_of_any_job(network: Network) -> None:
    default, nested = plan(network=network), plan(network=network, policy="nested")
    assert nested.job_tape == default.job_tape
    assert nested.cgroup_writes == default.cgroup_writes
    different = {"landlock", "rlimits"}
    rest = [
        [op for op in found.program_tape if op.stage not in different]
        for found in (default, nested)
    ]
    assert rest[0] == rest[1]


def test_only_the_backstop_of_the_cpu_deadline_is_left_to_inner_sandboxes() -> None:
    (default,), (nested,) = (
        [op.arguments[0] for op in plan(policy=name).program_tape if op.stage == "rlimits"]
        for name in ("default", "nested")
    )
    gone = [pair for pair in default if pair not in nested]  # type: ignore[union-attr,operator]
    assert [number for number, _ in gone] == [resource.RLIMIT_CPU]
    assert len(nested) == len(default) - 1  # type: ignore[arg-type]


def test_an_affinity_that_is_inherited_is_not_set_again() -> None:
    """A sandboxd in a sandbox may not set any; it has one processor, and so has its job."""
    inside = HOSTS["none", IdMode.SINGLE]
    alone = replace(inside, processors=(0,))
    assert "affinity" not in {op.stage for op in plan(alone).program_tape}
    for host in (inside, HOST, replace(HOST, processors=(0,))):
        assert "affinity" in {op.stage for op in plan(host).program_tape}


def test_nested_opens_the_calls_that_it_names_and_no_other() -> None:
    default, nested = POLICIES["default"].rules, POLICIES["nested"].rules
    assert nested[-len(default) :] == default
    opened = {
        call
        for rule in nested[: -len(default)]
        if rule.action.value == "allow"
        for call in rule.syscalls
    }
    assert opened == {
        *("clone", "clone3", "unshare", "setns", "sethostname", "setdomainname", "capset"),
        *("setgroups", "mount", "umount2", "mount_setattr", "pivot_root", "chroot", "keyctl"),
    }


@pytest.mark.parametrize("rung", ["v2", "v1"])
def test_single_ids_refuse_nesting_and_say_where_it_ends(rung: str) -> None:
    with pytest.raises(PreconditionError, match="nesting ends there") as refused:
        plan(HOSTS[rung, IdMode.SINGLE], policy="nested")
    assert refused.value.reason == "NESTING_UNAVAILABLE"
    assert "--add-subuids" in refused.value.remedy


@pytest.mark.parametrize("rung", ["v2-bare", "none"])
def test_nesting_is_refused_where_files_in_memory_would_not_be_counted(rung: str) -> None:
    with pytest.raises(PreconditionError, match="no memory controller") as refused:
        plan(host_on(rung), policy="nested")
    assert refused.value.reason == "NESTING_UNAVAILABLE"
    assert "Delegate=yes" in refused.value.remedy


def test_landlock_cannot_be_required_of_a_nested_job() -> None:
    plan(require=("landlock",))
    with pytest.raises(PreconditionError, match="forbid every mount") as refused:
        plan(policy="nested", require=("landlock",))
    assert refused.value.reason == "ENFORCEMENT_UNAVAILABLE"


def test_a_policy_that_extends_nested_is_treated_as_nested() -> None:
    text = 'description = "Mine."\nextends = "nested"\n'
    texts = {
        path.stem: path.read_text(encoding="utf-8")
        for path in seccomp.policies_directory().glob("*.toml")
    }
    mine = parse_policy(text, "mine", texts.__getitem__)
    host = replace(host_on("none"), policies={**POLICIES, "mine": mine})
    with pytest.raises(PreconditionError, match="policy 'mine'"):
        plan(host, policy="mine")


def test_sandboxes_for_sandboxes_are_never_taken_for_others() -> None:
    assert plan(policy="nested").sandbox == SandboxPlan(root="host", proc_mode="nested")
    assert plan(policy="nested").sandbox != plan().sandbox
    assert namespaces.nesting_bounded() != (namespaces.nesting_closed(),)
