"""Values on the command line and in the configuration file: sizes, durations, pairs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click

from sandboxd.model.limits import ROW_OF, LimitRow, Unit, Value

_SIZE = re.compile(r"(\d+)\s*(B|[KMGT]i?B?)?", re.IGNORECASE)
_POWERS = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


def parse_size(text: str) -> int:
    """Read a number of bytes: ``1048576``, ``64MiB``, ``1G`` (all powers of 1024)."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is no size; write a number of bytes, or 64MiB")
    unit = (match[2] or "").upper()[:1]
    return int(match[1]) << (10 * _POWERS[unit])


def parse_duration(text: str) -> timedelta:
    """Read a duration: ``2s``, ``1.5s``, ``200ms``, ``5m``; a bare number is seconds."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is no duration; write 2s, 200ms or 5m")
    try:
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    except OverflowError:
        raise ValueError(f"{text!r} is too long") from None


def parse_limit(row: LimitRow, text: str) -> Value:
    """Read the value of one limit in its unit."""
    if row.unit is Unit.DURATION:
        return parse_duration(text)
    if row.unit is Unit.BYTES:
        return parse_size(text)
    if row.unit is Unit.PROCESSORS:
        return float(text)
    return int(text)


class DurationValue(click.ParamType[timedelta]):
    """A duration, as `1.5s` or `2m`."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:  # noqa: ANN401 - click's signature
        """Read one, or fail as click does."""
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class LimitValue(click.ParamType[Value]):
    """The click type of one limit's option."""

    def __init__(self, limit: str) -> None:
        """Take the limit's name."""
        self._row = ROW_OF[limit]
        self.name = self._row.unit.value

    def convert(self, value: Any, param: Any, ctx: Any) -> Value:  # noqa: ANN401 - click's signature
        """Read the value, or fail with what it should look like."""
        try:
            return parse_limit(self._row, str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_pair(text: str, what: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise click.BadParameter(f"{text!r} is not {what}")
    return name, value
