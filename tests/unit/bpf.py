"""A classic BPF interpreter, as small as what a seccomp filter may contain: the tests' kernel."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Program = tuple[tuple[int, int, int, int], ...]


def disassemble(program: bytes) -> Program:
    """Cut bytes into instructions: code, jump if true, jump if false, value."""
    return tuple(struct.iter_unpack("=HBBI", program))


def run(program: Program, machine: int, number: int, arguments: Sequence[int]) -> int:
    """Give what the filter returns for a call; any step that the kernel would refuse raises."""
    data = struct.unpack("=16I", struct.pack("=IIQ6Q", number, machine, 0, *arguments))
    position = accumulator = 0
    while True:
        code, if_true, if_false, value = program[position]
        position += 1
        match code:
            case 0x20:  # load a word of seccomp_data
                assert value % 4 == 0
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
            case _:
                raise AssertionError(f"not a code of ours: {code:#x}")
