"""One job over many cases, as a client asks for it: the request, and the answers as values."""

from __future__ import annotations

from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, TypedDict

from sandboxd.model.batch import Rule
from sandboxd.server.wire_batch import from_batch, to_answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterable
    from datetime import timedelta

    from sandboxd.model.batch import Answer, Case
    from sandboxd.model.job import Job
    from sandboxd.v1 import runner_service_pb2 as pb


class BatchFields(TypedDict, total=False):
    """How a batch is run."""

    parallel_count: int
    """Cases at once; unset or zero: as many as the server has slots for us."""
    rule: Rule
    """When the rest is not run; unset: never."""
    wall_time: timedelta
    """The longest that all may take together, waiting included."""


def batch_request(job: Job, cases: Iterable[Case], how: BatchFields) -> pb.RunBatchRequest:
    """Give the request that asks for a batch.

    Raises:
        JobError: naming the fields that break a rule, or that no message can carry.

    """
    rule, wall_time = how.get("rule", Rule.ALL), how.get("wall_time")
    return from_batch(job, cases, how.get("parallel_count", 0), rule, wall_time)


async def answers(messages: AsyncGenerator[Any, None]) -> AsyncGenerator[tuple[int, Answer], None]:
    """Give which case went and how, as the messages come; closing this ends the call."""
    async with aclosing(messages):
        async for message in messages:
            yield to_answer(message)


def sync_answers(messages: Generator[Any, None, None]) -> Generator[tuple[int, Answer], None, None]:
    """Give which case went and how, as the messages come; closing this ends the call."""
    with closing(messages):
        for message in messages:
            yield to_answer(message)
