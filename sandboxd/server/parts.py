"""What each of several workers has of the host, and of its callers' shares; pure.

Nothing is counted across workers while they serve. So each has its part of everything from the
start, and no bound is passed whatever the others do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.server.callers import Callers

if TYPE_CHECKING:
    from sandboxd.doctor.capacity import Supply
    from sandboxd.host import Host
    from sandboxd.model.caller import Caller, Share


def part(total: int, index: int, count: int) -> int:
    """Give one of `count` parts of a total; they differ by one at most, the larger come first."""
    return total // count + (index < total % count)


def part_of(host: Host, index: int, count: int) -> Host:
    """Give what worker `index` of `count` has of a host.

    Processors are divided, so that two workers never put jobs on the same one while others idle.
    All workers refuse the same jobs: none may use more processors than the smallest part has.

    Raises:
        HostError: a worker would have no slot or no processor (reason TOO_MANY_WORKERS).

    """
    _check(host, count)
    own_count = (host.processor_count - host.shared_cpu_count) // count
    first = sum(part(host.processor_count, before, count) for before in range(index))
    last = first + part(host.processor_count, index, count)
    most = float(host.processor_count // count)
    return replace(
        host,
        processors=host.processors[first:last],
        shared_cpu_count=last - first - own_count,
        slot_count=part(host.slot_count, index, count),
        queue_length=_at_least_one(host.queue_length, index, count),
        pool_size=_at_least_one(host.pool_size, index, count),
        sandbox_bound=_part_of_supply(host.sandbox_bound, count),
        defaults=replace(host.defaults, cpu_count=_lowered(host.defaults.cpu_count, most)),
        ceilings=replace(host.ceilings, cpu_count=_lowered(host.ceilings.cpu_count, most)),
    )


def part_of_callers(callers: Callers, count: int, path: str) -> Callers:
    """Give the callers, each with the share that it has in any one of `count` workers.

    Raises:
        HostError: a share is too small to be divided (reason CALLERS_INVALID).

    """
    return Callers(tuple(_with_part(caller, count, path) for caller in callers.all))


def _check(host: Host, count: int) -> None:
    for name, there, remedy in (
        ("processors", host.processor_count, "ask for fewer workers"),
        ("slots", host.slot_count, "ask for fewer workers, or for more --slots"),
    ):
        if count > there:
            text = f"cannot serve with {count} workers: there are only {there} {name}"
            raise HostError("TOO_MANY_WORKERS", text, remedy)


def _part_of_supply(supply: Supply, count: int) -> Supply:
    taken = supply.used + supply.spare
    return supply._replace(total=taken + (supply.total - taken) // count)


def _with_part(caller: Caller, count: int, path: str) -> Caller:
    share = caller.share
    for name in ("slots", "queue_places"):
        if 0 < (getattr(share, name) or 0) < count:
            raise HostError(
                "CALLERS_INVALID",
                f"cannot use {path}: {caller.name}: share.{name} cannot be divided among {count} "
                "workers",
                f"give it at least {count}, or serve with fewer workers",
            )
    return replace(caller, share=_part_of_share(share, count))


def _part_of_share(share: Share, count: int) -> Share:
    return replace(
        share,
        slots=_divided(share.slots, count),
        memory_bytes=_divided(share.memory_bytes, count),
        queue_places=_divided(share.queue_places, count),
        rate=None if share.rate is None else share.rate / count,
        burst=max(1, share.burst // count),
    )


def _divided(bound: int | None, count: int) -> int | None:
    return None if bound is None else bound // count


def _at_least_one(total: int, index: int, count: int) -> int:
    """Give a part that is only zero where the whole is."""
    return max(part(total, index, count), min(total, 1))


def _lowered(value: float | None, most: float) -> float | None:
    return None if value is None else min(value, most)
