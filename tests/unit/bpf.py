"""A classic BPF interpreter, as small as what a seccomp filter may contain: the tests' kernel."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Instruction = tuple[int, int, int, int]
Program = tuple[Instruction, ...]

LOAD, AND, JUMP, IF_EQUAL, IF_GREATER_OR_EQUAL, RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
CONDITIONAL = {IF_EQUAL, IF_GREATER_OR_EQUAL}
CODES = {LOAD, AND, JUMP, *CONDITIONAL, RETURN}
DATA_BYTES = 64
FIRST_ARGUMENT = 16
MOST_INSTRUCTIONS = 4096


class NotOursError(AssertionError):
    """A program that the kernel would refuse, or with an instruction that no filter of ours has."""


def disassemble(program: bytes) -> Program:
    """Cut bytes into instructions (code, jump if true, jump if false, value), and check each."""
    instructions = tuple(struct.iter_unpack("=HBBI", program))
    check(instructions)
    return instructions


def check(program: Program) -> None:
    """Look at every instruction, as the kernel does before it takes a program."""
    if not 0 < len(program) <= MOST_INSTRUCTIONS or program[-1][0] != RETURN:
        raise NotOursError("no end, or too long")
    for position, (code, if_true, if_false, value) in enumerate(program):
        if code not in CODES:
            raise NotOursError(f"not a code of ours: {code:#x}")
        if code == LOAD and (value % 4 or value >= DATA_BYTES):
            raise NotOursError(f"nothing to load at {value}")
        farthest = value if code == JUMP else max(if_true, if_false)
        if position + 1 + farthest >= len(program) and code != RETURN:
            raise NotOursError(f"leads out of the program at {position}")


def run(
    program: Program,
    machine: int,
    number: int,
    arguments: Sequence[int],
    trace: set[int] | None = None,
) -> int:
    """Give what the filter returns for a call; add the instructions that it took to `trace`."""
    data = struct.unpack("=16I", struct.pack("=IIQ6Q", number, machine, 0, *arguments))
    position = accumulator = 0
    while True:
        code, if_true, if_false, value = program[position]
        if trace is not None:
            trace.add(position)
        position += 1
        match code:
            case 0x20:  # load a word of seccomp_data
                accumulator = data[value // 4]
            case 0x54:  # and
                accumulator &= value
            case 0x05:  # jump
                position += value
            case 0x15:  # jump if equal
                position += if_true if accumulator == value else if_false
            case 0x35:  # jump if greater or equal
                position += if_true if accumulator >= value else if_false
            case 0x06:  # return
                return value


def compared_with(program: Program) -> tuple[set[int], set[int]]:
    """Give all values with which numbers and machines are compared, and those for arguments.

    Between two neighbours of these, a program without AND answers the same.
    """
    numbers: set[int] = set()
    arguments: set[int] = set()
    here = numbers
    for code, _, _, value in program:
        if code == LOAD:
            here = arguments if value >= FIRST_ARGUMENT else numbers
        elif code in CONDITIONAL:
            here.add(value)
    return numbers, arguments
