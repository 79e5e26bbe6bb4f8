"""What this host does for a job: the limits that will hold, its policy, or why it refuses. Pure.

Asked before a job waits for its turn, and again by its plan; answered once for each kind of job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from sandboxd.errors import JobError, PreconditionError, Violation
from sandboxd.identity import IdMode
from sandboxd.model.job import check_core
from sandboxd.model.limits import effective, names

if TYPE_CHECKING:
    from sandboxd.host import Host
    from sandboxd.model.job import Job, Network
    from sandboxd.model.limits import Limits
    from sandboxd.model.policy import Policy


KINDS_KNOWN = 1024
"""Of how many kinds of jobs, and places to run them, the plan is remembered: the latest."""


@dataclass(frozen=True, slots=True)
class Kind:
    """All of a job but its program, its input and its files: what many jobs have in common."""

    limits: Limits
    policy: str
    root: str
    network: Network
    require: tuple[str, ...]
    exclusive_cpus: bool
    working_directory: str
    merged: bool
    """Whether stderr goes where stdout does."""
    has_terminal: bool
    is_live: bool
    """Whether its output leaves as it comes: nothing of it is kept, so it need not be bounded."""
    wired: tuple[int, ...]
    """Descriptors of its program that are ends of pipes to others."""
    is_shared: bool
    """Whether it is one of several in a sandbox that stays."""


def kind_of(
    job: Job, *, is_live: bool = False, wired: tuple[int, ...] = (), is_shared: bool = False
) -> Kind:
    """Give what a job has in common with others."""
    return Kind(
        job.limits,
        job.policy,
        job.root,
        job.network,
        job.require,
        job.exclusive_cpus,
        job.working_directory,
        job.merge_stderr or job.terminal is not None,
        job.terminal is not None,
        is_live,
        wired,
        is_shared,
    )


@lru_cache(KINDS_KNOWN)
def held(kind: Kind, host: Host) -> Limits:
    """Give the limits that will really hold, or refuse what this host cannot run as it asks."""
    limits = effective(kind.limits, host.defaults, host.ceilings)
    if kind.is_live:
        limits = replace(limits, output_bytes=kind.limits.output_bytes)
    policy = _policy(kind.policy, host)
    _check_nesting(policy, kind, host)
    _check_offers(kind, host)
    _check_processors(kind, limits, host)
    _check_wires(kind, limits)
    return limits


def policy_for(job: Job, host: Host) -> Policy:
    """Find the job's policy on this host."""
    return _policy(job.policy, host)


def _policy(name: str, host: Host) -> Policy:
    policy = host.policies.get(name)
    if policy is None:
        raise _unknown("POLICY_UNKNOWN", "policy", name, host.policies)
    return policy


def processor_count_for(limits: Limits) -> int:
    """Tell on how many processors a job runs: a fraction needs a whole one."""
    return max(1, math.ceil(limits.cpu_count or 1))


def has_range(host: Host) -> bool:
    """Tell whether jobs have ids of their own."""
    return host.id_mode is IdMode.RANGE


def check_job(job: Job, host: Host, kind: Kind | None = None) -> Limits:
    """Give the limits that will really hold; refuse what this host cannot run as it asks.

    Raises:
        JobError: a limit is out of bounds.
        PreconditionError: the policy, the root, the network or a required enforcement is not here.

    """
    limits = held(kind or kind_of(job), host)
    check_core(job, limits.core_bytes)
    return limits


def _check_nesting(policy: Policy, kind: Kind, host: Host) -> None:
    """Refuse a sandbox for sandboxes where its limits or its init would not stand above them."""
    if not policy.is_nested:
        return
    if kind.is_shared:
        raise PreconditionError(
            "NESTING_UNAVAILABLE",
            f"policy {policy.name}",
            f"cannot use policy {policy.name!r} in a sandbox that stays: its programs share what a "
            "sandbox within would have to itself",
            "use the policy 'default', or Run and Attach for programs that make sandboxes",
        )
    if not has_range(host):
        raise PreconditionError(
            "NESTING_UNAVAILABLE",
            f"policy {policy.name}",
            f"cannot use policy {policy.name!r} here: a sandbox for sandboxes needs two ids of its "
            "own, and this host gives its jobs the daemon's id (a sandboxd that runs in a sandbox "
            "always does: nesting ends there)",
            "give the user subordinate ids (usermod --add-subuids, --add-subgids), or use the "
            "policy 'default'",
        )
    if host.tree.limits_by("memory") is None:
        raise PreconditionError(
            "NESTING_UNAVAILABLE",
            f"policy {policy.name}",
            f"cannot use policy {policy.name!r} here: its jobs may mount file systems that keep "
            "their files in memory, and no memory controller is delegated that would count them",
            "run the daemon where cgroups are delegated (systemd-run --user --scope -p "
            "Delegate=yes sandboxd serve), or use the policy 'default'",
        )
    if "landlock" in kind.require:
        raise PreconditionError(
            "ENFORCEMENT_UNAVAILABLE",
            "require landlock",
            f"cannot enforce 'landlock' under policy {policy.name!r}: Landlock's rights on files "
            "forbid every mount",
            "do not require it, or use the policy 'default'",
        )


def _check_offers(kind: Kind, host: Host) -> None:
    if kind.root not in host.roots:
        raise _unknown("ROOT_UNKNOWN", "root", kind.root, host.roots)
    if kind.network not in host.networks:
        offered = [network_.value for network_ in host.networks]
        raise _unknown("NETWORK_UNAVAILABLE", "network", kind.network.value, offered)
    for name in kind.require:
        enforced = name in names() and host.mechanisms.get(name, "none") != "none"
        if not enforced and name not in host.features:
            cause = f"cannot enforce {name!r} on this host"
            remedy = "ask GetHost (sandboxd host) for what it enforces, and how to mend the rest"
            raise PreconditionError("ENFORCEMENT_UNAVAILABLE", f"require {name}", cause, remedy)


def _check_processors(kind: Kind, limits: Limits, host: Host) -> None:
    """Refuse more processors for one job alone than can ever be free; fewer it waits for."""
    asked, most = processor_count_for(limits), host.processor_count - host.shared_cpu_count
    if kind.exclusive_cpus and asked > most:
        raise PreconditionError(
            "EXCLUSIVE_CPUS_UNAVAILABLE",
            "exclusive_cpus",
            f"cannot give one job {asked} processors of its own: this host has {max(0, most)} that "
            "a job may have for itself",
            "ask for fewer (cpu_count), or as the operator lower shared_cpu_count",
        )


def _check_wires(kind: Kind, limits: Limits) -> None:
    least = max(kind.wired, default=0) + 2  # a dynamic loader needs one more
    if kind.wired and limits.open_file_count is not None and limits.open_file_count < least:
        rule = f"must be at least {least}, for the descriptors that pipes have"
        raise JobError(Violation("limits.open_file_count", rule))


def _unknown(reason: str, kind: str, name: str, known: object) -> PreconditionError:
    offered = ", ".join(sorted(str(item) for item in known)) if known else "none"  # type: ignore[attr-defined]
    return PreconditionError(
        reason, f"{kind} {name}", f"cannot find {kind} {name!r}", f"this host offers: {offered}"
    )
