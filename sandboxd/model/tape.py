"""Operations and tapes: the closed language in which `plan` tells zygote and init what to do.

An operation is a stage (its name in docs/stages.md and in every error), one verb of a closed set,
and arguments that are all final values. A tape is a list of them, executed in order; the first
failure ends it. Nothing here touches the kernel.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


@cache
def _encoder() -> Callable[[Any], str]:
    import json  # noqa: PLC0415 - processes that only execute tapes do without

    return json.JSONEncoder(separators=(",", ":")).encode


def encode(value: Any) -> str:  # noqa: ANN401 - whatever JSON carries
    """Write a value as the channel carries it."""
    return _encoder()(value)


class _Step(NamedTuple):
    stage: str
    verb: str
    arguments: tuple[Any, ...] = ()


class Operation(_Step):
    """One step of a tape.

    Arguments are what JSON carries without loss. Paths are text, decoded with surrogate escapes,
    so that any file name survives. `descriptor(name)` stands for a descriptor that comes along.
    """

    def to_wire(self) -> list[Any]:
        """Give the flat form that the channel carries: stage, verb, arguments."""
        return [self.stage, self.verb, *self.arguments]

    @cached_property
    def encoded(self) -> str:
        """The same as the channel's text; remembered, as most operations serve many jobs."""
        return encode(self.to_wire())


Tape = tuple[Operation, ...]


class Encoded(str):
    """Text that is the channel's already."""

    __slots__ = ()


def encoded(tape: Tape) -> Encoded:
    """Give a tape as the channel carries it."""
    return Encoded(f"[{','.join([operation.encoded for operation in tape])}]")


class Verb(NamedTuple):
    """One word of the closed set: what executes it, and the sentence that `--explain` prints."""

    execute: Callable[..., None]
    sentence: str
    """A format string over the arguments: ``mount {2} on {1}``."""

    def describe(self, operation: Operation) -> str:
        """Say in one line what an operation does."""
        return self.sentence.format(*(_shown(argument) for argument in operation.arguments))


def descriptor(name: str) -> dict[str, str]:
    """Refer to a descriptor by the name under which it travels with the tape."""
    return {"fd": name}


def _shown(argument: Any) -> str:  # noqa: ANN401 - any argument can be shown
    if isinstance(argument, dict):
        return f"<{argument['fd']}>"
    if isinstance(argument, str):
        return argument or "''"
    return str(argument)
