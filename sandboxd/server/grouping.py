"""A group of programs as a caller's: their slots all at once, their blobs, their stored files."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from sandboxd.errors import JobError, RequestError, Violation
from sandboxd.runtime.group import run_group
from sandboxd.server import audit
from sandboxd.server.wire_group import in_member

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandboxd.model.group import Group, GroupResult
    from sandboxd.model.outcome import RunResult
    from sandboxd.runtime.live import Live
    from sandboxd.server.calls import Call, Known
    from sandboxd.server.turns import Queueing, Turns


def check(group: Group, turns: Turns, known: Known) -> None:
    """Refuse a group that can never run here, or not for this caller.

    Raises:
        JobError, PreconditionError: naming the fields by their paths in the request.

    """
    share = known.caller.share.slots
    most = min(turns.host.slot_count, share or turns.host.slot_count)
    if len(group.members) > most:
        rule = f"must have at most {most} entries: so many may run at once (serve --slots)"
        raise RequestError(Violation("members", rule))
    violations: list[Violation] = []
    for index, member in enumerate(group.members):
        try:
            turns.check(member.job, known, wired=group.wired(member.name))
        except JobError as error:
            violations += in_member(index)(error).violations
    if violations:
        raise RequestError(*violations)


async def run(
    group: Group, turns: Turns, known: Known, queueing: Queueing, member_calls: Sequence[Call]
) -> GroupResult:
    """Run a group when it is its turn, and store what its members want stored.

    `member_calls` are what the audit notes of each member.

    Raises:
        SandboxdError: as `Turns.taken` and `Supervisor.run`.

    """
    jobs = [member.job for member in group.members]
    async with AsyncExitStack() as stack:
        turn = await stack.enter_async_context(turns.taken(jobs, known, queueing))
        processors: tuple[int, ...] = ()
        if group.pipes:
            sharing = turns.supervisor.shared_processors(jobs)
            processors = await stack.enter_async_context(sharing)

        async def run_member(index: int, live: Live, wires: Mapping[int, int]) -> RunResult:
            opened, call = turn.opened[index], member_calls[index]
            with audit.case_recorded(call):
                call.result = await turns.supervisor.run(
                    opened.job,
                    queue_time=turn.queue_time,
                    blob_fds=opened.fds,
                    live=live,
                    wires=wires,
                    processors=processors,
                )
                return call.result

        result = await run_group(group, run_member)
        members = [
            replace(
                member,
                result=await turns.blobs.stored(
                    member.result, job, known.tenant, known.caller.share
                ),
            )
            for member, job in zip(result.members, jobs, strict=True)
        ]
        return replace(result, members=tuple(members))
