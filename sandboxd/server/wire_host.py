"""Between a host and `GetHostResponse`, both ways; pure.

A client gets a description, not a Host: what a policy or a cgroup really is stays at home.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandboxd.server.board import Counts
from sandboxd.server.wire_values import (
    NETWORK_OF,
    NETWORKS,
    message_from,
    to_limits,
    unreadable,
    value_from,
)
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandboxd.errors import Violation
    from sandboxd.host import Host
    from sandboxd.model.job import Network
    from sandboxd.model.limits import Limits

ID_MODES = {"range": pb.ID_MODE_RANGE, "single": pb.ID_MODE_SINGLE}
ID_MODE_OF = {int(number): mode for mode, number in ID_MODES.items()}


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """A policy that a host offers; the same digest means the same rules."""

    name: str
    description: str
    digest: str


@dataclass(frozen=True, slots=True)
class HostWeakness:
    """One thing that is weaker on a host than it could be, why, and what would mend it."""

    subject: str
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDescription:
    """What a host says of itself; each field means what it means in `GetHostResponse`."""

    version: str
    kernel_release: str
    id_mode: str
    """``range``: IDs of its own for each sandbox; ``single``: one for all."""
    cgroup_rung: str
    landlock_abi: int
    processor_count: int
    slot_count: int
    memory_bytes: int
    defaults: Limits
    ceilings: Limits
    mechanisms: Mapping[str, str]
    policies: Mapping[str, HostPolicy]
    roots: tuple[str, ...]
    networks: tuple[Network, ...]
    features: tuple[str, ...]
    weaknesses: tuple[HostWeakness, ...]
    pool_size: int = 0
    ready_sandbox_count: int = 0
    running_job_count: int = 0
    waiting_job_count: int = 0
    worker_count: int = 0


def to_host_response(host: Host, counts: Counts | None = None) -> pb.GetHostResponse:
    """Give the answer that describes a host; its features include the limits it enforces.

    `counts` is what its server has and does; without one, what a server would have.
    """
    counts = counts or Counts(
        processor_count=host.processor_count,
        slot_count=host.slot_count,
        pool_size=host.pool_size,
    )
    enforced = {limit for limit, mechanism in host.mechanisms.items() if mechanism != "none"}
    return pb.GetHostResponse(
        version=host.version,
        kernel_release=host.kernel_release,
        id_mode=ID_MODES[host.id_mode.value],
        cgroup_rung=host.cgroup_rung,
        landlock_abi=host.landlock_abi,
        memory_bytes=host.memory_bytes,
        defaults=message_from(pb.Limits, host.defaults),
        ceilings=message_from(pb.Limits, host.ceilings),
        mechanisms=[
            pb.LimitMechanism(limit=limit, mechanism=mechanism)
            for limit, mechanism in sorted(host.mechanisms.items())
        ],
        policies=[message_from(pb.Policy, policy) for _, policy in sorted(host.policies.items())],
        roots=host.roots,
        networks=[NETWORKS[network] for network in host.networks],
        features=sorted(enforced.union(host.features)),
        weaknesses=[message_from(pb.Weakness, weakness) for weakness in host.weaknesses],
        **counts._asdict(),
    )


def from_host_response(response: pb.GetHostResponse) -> HostDescription:
    """Give the description that an answer carries; networks unknown to this client are left out.

    Raises:
        HostError: this client cannot read the answer (reason UNREADABLE_ANSWER).

    """
    broken: list[Violation] = []
    description = HostDescription(
        version=response.version,
        kernel_release=response.kernel_release,
        id_mode=ID_MODE_OF.get(response.id_mode, ""),
        cgroup_rung=response.cgroup_rung,
        landlock_abi=response.landlock_abi,
        processor_count=response.processor_count,
        slot_count=response.slot_count,
        memory_bytes=response.memory_bytes,
        defaults=to_limits(response.defaults, broken),
        ceilings=to_limits(response.ceilings, broken),
        mechanisms={row.limit: row.mechanism for row in response.mechanisms},
        policies={policy.name: value_from(HostPolicy, policy) for policy in response.policies},
        roots=tuple(response.roots),
        networks=tuple(NETWORK_OF[n] for n in response.networks if n in NETWORK_OF),
        features=tuple(response.features),
        weaknesses=tuple(value_from(HostWeakness, weakness) for weakness in response.weaknesses),
        pool_size=response.pool_size,
        ready_sandbox_count=response.ready_sandbox_count,
        running_job_count=response.running_job_count,
        waiting_job_count=response.waiting_job_count,
        worker_count=response.worker_count,
    )
    if broken or not description.id_mode:
        raise unreadable()
    return description
