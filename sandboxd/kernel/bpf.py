"""Classic BPF, assembled: the little programs that the kernel runs before a system call.

Decides instructions only: comparing and returning numbers, within the bounds that the kernel sets
for jumps. What the numbers mean is `seccomp`'s.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_INSTRUCTIONS = 4096
"""The kernel's BPF_MAXINSNS."""

# linux/bpf_common.h: load a word of seccomp_data, mask it, compare it, jump, return.
_LD_ABS, _AND, _JA, JEQ, JGE, _RET = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
_INSTRUCTION = Struct("=HBBI")
# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6].
NR, ARCH, _ARGS = 0, 4, 16
_WORD = 0xFFFFFFFF
"""Classic BPF computes with 32 bits: an argument is compared in two halves."""
_REACH = 255
"""How far a conditional jump goes: its offsets are bytes. Only forward, says the kernel."""


class Program:
    """A BPF program, written from its end to its beginning: jumps only lead forward.

    A label is an instruction's distance from the end. Each method puts instructions in front of
    those that are there and gives the label at which they begin.
    """

    def __init__(self) -> None:
        """Begin with nothing: what is put first comes last."""
        self._backward: list[tuple[int, int, int, int]] = []
        self._ends: dict[int, int] = {}

    def __len__(self) -> int:
        """Count the instructions so far."""
        return len(self._backward)

    def assemble(self) -> bytes:
        """Give the program as the kernel takes it."""
        return b"".join(_INSTRUCTION.pack(*words) for words in reversed(self._backward))

    def search(self, ranges: Sequence[tuple[int, int]]) -> int:
        """Find the loaded number's range by halving: a chain would cost each installation."""
        if len(ranges) == 1:
            return ranges[0][1]
        middle = len(ranges) // 2
        upper = self.search(ranges[middle:])
        lower = self.search(ranges[:middle])
        return self.branch(JGE, ranges[middle][0], upper, lower)

    def compare_argument(
        self, index: int, mask: int, values: Sequence[int], holds: int, fails: int
    ) -> int:
        """Compare the low half, then the high half where the mask reaches it (little-endian)."""
        low_half, high_half = _ARGS + 8 * index, _ARGS + 8 * index + 4
        if mask <= _WORD:
            return self._word(low_half, mask, values, holds, fails)
        for value in reversed(values):
            low = self._word(low_half, mask & _WORD, [value & _WORD], holds, fails)
            fails = self._word(high_half, mask >> 32, [value >> 32], low, fails)
        return fails

    def _word(self, offset: int, mask: int, values: Sequence[int], holds: int, fails: int) -> int:
        for value in reversed(values):
            fails = self.branch(JEQ, value, holds, fails)
        if mask != _WORD:
            self._follow(fails)
            fails = self._put(_AND, mask)
        return self.load(offset, fails)

    def load(self, offset: int, then: int) -> int:
        """Load a word of seccomp_data, then go on at `then`."""
        self._follow(then)
        return self._put(_LD_ABS, offset)

    def give(self, value: int) -> int:
        """End with this value; an end that is already there is used again."""
        label = self._ends.get(value, -_REACH)
        if len(self) - label > _REACH // 2:
            label = self._ends[value] = self._put(_RET, value)
        return label

    def branch(self, compare: int, value: int, holds: int, fails: int) -> int:
        """Compare the loaded word, and go on at one label or the other."""
        holds, fails = self._near(holds), self._near(fails)
        here = len(self)
        return self._put(compare, value, here - holds - 1, here - fails - 1)

    def _near(self, label: int) -> int:
        """Bring a label within reach of a conditional jump; one more instruction may follow."""
        return label if len(self) - label < _REACH - 1 else self._jump(label)

    def _follow(self, label: int) -> None:
        """Make sure that what is put next runs on into `label`."""
        if label != len(self) - 1:
            self._jump(label)

    def _jump(self, label: int) -> int:
        return self._put(_JA, len(self) - label - 1)

    def _put(self, code: int, value: int, holds: int = 0, fails: int = 0) -> int:
        self._backward.append((code, holds, fails, value))
        return len(self) - 1
