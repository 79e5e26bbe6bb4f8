"""Operations and tapes: the closed language in which `plan` tells zygote and init what to do.

An operation is a stage (its name in docs/stages.md and in every error), one verb of a closed set,
and arguments that are all final values. A tape is a list of them, executed in order; the first
failure ends it. Nothing here touches the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Operation(NamedTuple):
    """One step of a tape.

    Arguments are what JSON carries without loss. Paths are text, decoded with surrogate escapes,
    so that any file name survives. `descriptor(name)` stands for a descriptor that comes along.
    """

    stage: str
    verb: str
    arguments: tuple[Any, ...] = ()

    def to_wire(self) -> list[Any]:
        """Give the flat form that the channel carries: stage, verb, arguments."""
        return [self.stage, self.verb, *self.arguments]


Tape = tuple[Operation, ...]


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
