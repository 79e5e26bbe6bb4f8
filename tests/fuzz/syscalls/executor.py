"""Lists of system calls for `executor.c`, and what it says of them."""

from __future__ import annotations

import itertools
import struct
import subprocess
import tempfile
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCE = Path(__file__).with_name("executor.c")
MEMORY_BYTES = 16384
POINTER = 0xFACE000000000000
"""Arguments from here on are offsets into the memory that comes with the list."""
_RECORD = struct.Struct("=7Q")
_RESULT = struct.Struct("=qq")


class Listed(NamedTuple):
    """One call to be made."""

    number: int
    arguments: tuple[int, ...]


class Fate(IntEnum):
    """What became of a call."""

    NOT_MADE = 0
    BEGUN = 1
    """The last one of a process that said no more."""
    RETURNED = 2
    ENDED = 3
    SIGNALED = 4
    BLOCKED = 5


class Result(NamedTuple):
    """A call's fate; with it what it returned, the signal or the exit code."""

    fate: Fate
    value: int


def built() -> bytes:
    """Compile the executor."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "executor"
        subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", SOURCE, "-o", target], check=True)
        return target.read_bytes()


def as_list(calls: Iterable[Listed], memory: bytes = b"") -> bytes:
    """Write the file that the executor reads."""
    records = (_RECORD.pack(call.number, *call.arguments) for call in calls)
    return memory.ljust(MEMORY_BYTES, b"\0") + b"".join(records)


def results_in(output: bytes) -> list[Result]:
    """Read what the executor says, up to a half result, or what a call wrote in between."""
    whole = output[: len(output) - len(output) % _RESULT.size]
    said = itertools.takewhile(lambda pair: pair[0] in set(Fate), _RESULT.iter_unpack(whole))
    return [Result(Fate(fate), value) for fate, value in said]


def words_of(call: Listed) -> str:
    """Write a call for a person to read, and to make it again."""
    return f"{call.number}({', '.join(map(hex, call.arguments))})"
