"""The small values that several messages share: flat messages, durations, limits, text; pure.

A flat message and its dataclass have fields of the same names, so one pair of functions converts
them all; tests compare the names both ways.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.duration_pb2 import Duration

from sandboxd.errors import HostError, Violation
from sandboxd.model.job import Network
from sandboxd.model.limits import ROWS, Limits, Unit
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.message import Message

AnyMessage = TypeVar("AnyMessage", bound="Message")
AnyValue = TypeVar("AnyValue")

MAX_DURATION = timedelta(seconds=315_576_000_000)
"""About 10000 years, the bound of google.protobuf.Duration."""
MAX_NANOS = 999_999_999

NETWORKS = {Network.NONE: pb.NETWORK_NONE, Network.LOOPBACK: pb.NETWORK_LOOPBACK}
NETWORK_OF = {int(number): network for network, number in NETWORKS.items()}


def message_from(kind: type[AnyMessage], value: object) -> AnyMessage:
    """Build a flat message from the fields of the same names in `value`."""
    names = _names_of(kind)  # type: ignore[arg-type]  # a class can be hashed
    return kind(**{name: _sendable(getattr(value, name)) for name in names})


@cache
def _names_of(kind: type[Message]) -> tuple[str, ...]:
    return tuple(kind.DESCRIPTOR.fields_by_name)


def value_from(kind: type[AnyValue], message: Message) -> AnyValue:
    """Build a flat dataclass from the fields of the same names in `message`.

    Raises:
        OverflowError: a duration is beyond what timedelta can hold.

    """
    values = {field.name: getattr(message, field.name) for field in fields(kind)}  # type: ignore[arg-type]  # no type says "a dataclass"
    for name, value in values.items():
        if isinstance(value, Duration):
            values[name] = _timedelta(value)
    return kind(**values)


def to_limits(limits: pb.Limits, broken: list[Violation]) -> Limits:
    """Give the limits that are set; a duration that is none goes to `broken` instead."""
    values: dict[str, Any] = {}
    for row in ROWS:
        if not limits.HasField(row.name):
            continue
        value = getattr(limits, row.name)
        if row.unit is Unit.DURATION:
            rule = _duration_rule(value)
            if rule:
                broken.append(Violation(f"limits.{row.name}", rule))
                continue
            value = _timedelta(value)
        values[row.name] = value
    return Limits(**values, stop_on_output=limits.stop_on_output)


def visible(text: str) -> str:
    r"""Give text that any message can carry: bytes that are no UTF-8 become `\xNN`."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode()


def unreadable() -> HostError:
    """Give the error of a client that meets an answer of a newer server."""
    return HostError(
        "UNREADABLE_ANSWER",
        "cannot read the server's answer: it says what this client does not know",
        "use a client of the server's version or newer",
    )


def _sendable(value: object) -> object:
    if isinstance(value, timedelta):
        duration = Duration()
        duration.FromTimedelta(value)
        return duration
    return visible(value) if isinstance(value, str) else value


def _timedelta(duration: Duration) -> timedelta:
    return timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1000)


def _duration_rule(duration: Duration) -> str | None:
    if duration.seconds < 0 or duration.nanos < 0:
        return "must not be negative"
    if duration.nanos > MAX_NANOS:
        return f"must be a Duration: nanos from 0 to {MAX_NANOS}"
    if duration.seconds > MAX_DURATION.total_seconds():
        return f"must be a Duration: at most {MAX_DURATION.total_seconds():.0f} seconds"
    return None
