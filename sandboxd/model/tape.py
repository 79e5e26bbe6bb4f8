"""Operations and tapes: the closed language in which `plan` tells init what to do.

An operation is a stage (its name in docs/stages.md and in every error), one verb of a closed set,
and arguments that are all final values. A tape is a list of them, executed in order; the first
failure ends it. Nothing here touches the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

Argument = None | bool | int | str | list["Argument"]
"""What an argument may be: everything that JSON carries without loss. Paths are text, decoded by
the file-system encoding with surrogate escapes, so any file name survives."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a tape."""

    stage: str
    verb: str
    arguments: tuple[Argument, ...] = ()

    def to_wire(self) -> list[Argument]:
        """Give the flat form that the channel carries: stage, verb, arguments."""
        return [self.stage, self.verb, *self.arguments]


Tape = tuple[Operation, ...]
