"""Between the messages of RunGroup and the values of `sandboxd.model.group`, both ways; pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.errors import JobError, RequestError, Violation
from sandboxd.model.group import (
    MAX_MEMBERS,
    MAX_PIPES,
    End,
    EndRule,
    Group,
    GroupResult,
    Member,
    MemberResult,
    Pipe,
    Recorded,
)
from sandboxd.server import wire
from sandboxd.server.wire_live import to_duration
from sandboxd.server.wire_values import unreadable
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

RULES = {
    pb.END_RULE_UNSPECIFIED: EndRule.WAIT,
    **{getattr(pb, f"END_RULE_{rule.name}"): rule for rule in EndRule},
}
WRITER_DESCRIPTOR, READER_DESCRIPTOR = 1, 0
"""Where an end is unless it says so."""
LEAST_TIME, MAX_TIME = timedelta(microseconds=1), timedelta(days=365)


def to_group(request: pb.RunGroupRequest, most_time: timedelta | None) -> Group:
    """Give the group that a request asks for; `most_time` is the ceiling of its wall time.

    Raises:
        JobError: naming every field at fault by its path in the request.

    """
    violations = [
        Violation(name, f"must have at most {most} entries")
        for name, most in (("members", MAX_MEMBERS), ("pipes", MAX_PIPES))
        if len(getattr(request, name)) > most
    ]
    if request.end_rule not in RULES:
        violations.append(Violation("end_rule", "must be an EndRule that this server knows"))
    if violations:
        raise RequestError(*violations)
    wall_time = None
    if request.HasField("wall_time"):
        wall_time = to_duration(request.wall_time, "wall_time", most_time or MAX_TIME, LEAST_TIME)
    return Group(
        members=_members(request),
        pipes=tuple(_pipe(pipe) for pipe in request.pipes),
        end_rule=RULES[request.end_rule],
        wall_time=wall_time,
    )


def from_group(group: Group) -> pb.RunGroupRequest:
    """Give the request that asks for a group.

    Raises:
        JobError: as `wire.job_message`.

    """
    request = pb.RunGroupRequest(
        members=[
            pb.GroupMember(name=member.name, job=wire.job_message(member.job))
            for member in group.members
        ],
        pipes=[
            pb.GroupPipe(
                name=pipe.name,
                writer=pb.PipeEnd(member=pipe.writer.member, descriptor=pipe.writer.descriptor),
                reader=pb.PipeEnd(member=pipe.reader.member, descriptor=pipe.reader.descriptor),
                swallow=pipe.swallow,
                record_bytes=pipe.record_bytes,
            )
            for pipe in group.pipes
        ],
        end_rule=getattr(pb, f"END_RULE_{group.end_rule.name}"),
    )
    if group.wall_time is not None:
        request.wall_time.FromTimedelta(group.wall_time)
    return request


def from_result(result: GroupResult) -> pb.RunGroupResponse:
    """Give the answer that carries what a group left behind."""
    response = pb.RunGroupResponse(
        results=[
            pb.GroupResult(
                name=member.name,
                response=wire.to_response(member.result),
                end_place=member.end_place,
                stopped=member.stopped,
            )
            for member in result.members
        ]
    )
    for record in result.records:
        message = response.records.add(
            name=record.name, total_bytes=record.total_bytes, truncated=record.truncated
        )
        for time_ns, data in record.pieces:
            message.pieces.add(data=data).time.FromNanoseconds(time_ns)
    return response


def to_result(response: pb.RunGroupResponse) -> GroupResult:
    """Give what a group left behind, as an answer carries it.

    Raises:
        HostError: this client cannot read it (reason UNREADABLE_ANSWER).

    """
    try:
        records = tuple(
            Recorded(
                record.name,
                tuple((piece.time.ToNanoseconds(), piece.data) for piece in record.pieces),
                record.total_bytes,
                record.truncated,
            )
            for record in response.records
        )
    except OverflowError as error:
        raise unreadable() from error
    members = (
        MemberResult(one.name, wire.from_response(one.response), one.end_place, one.stopped)
        for one in response.results
    )
    return GroupResult(tuple(members), records)


def in_member(index: int) -> Callable[[JobError], JobError]:
    """Give what names the fields of a member's job by their paths in the request."""
    return lambda error: wire.in_request(error, f"members[{index}].job.")


def _members(request: pb.RunGroupRequest) -> tuple[Member, ...]:
    """Give the members; all that is wrong with their jobs is named at once."""
    members: list[Member] = []
    violations: list[Violation] = []
    for index, member in enumerate(request.members):
        try:
            job = wire.job_from(member.job, f"members[{index}].job.")
            members.append(Member(member.name, job))
        except JobError as error:
            violations += error.violations
    if violations:
        raise RequestError(*violations)
    return tuple(members)


def _pipe(pipe: pb.GroupPipe) -> Pipe:
    return Pipe(
        writer=_end(pipe.writer, WRITER_DESCRIPTOR),
        reader=_end(pipe.reader, READER_DESCRIPTOR),
        name=pipe.name,
        swallow=pipe.swallow,
        record_bytes=pipe.record_bytes,
    )


def _end(end: pb.PipeEnd, usual: int) -> End:
    return End(end.member, end.descriptor if end.HasField("descriptor") else usual)
