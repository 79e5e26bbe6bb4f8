"""The problem: the largest sum of a non-empty run of neighbours. Its tests, always the same."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Test:
    """One input and the answer to it."""

    name: str
    stdin: bytes
    answer: bytes


def tests() -> list[Test]:
    """Make the tests: the corners by hand, the others by a generator with a fixed seed."""
    generator = random.Random(2026)  # noqa: S311 - the tests must be the same each time

    def numbers(count: int, low: int, high: int) -> list[int]:
        return [generator.randint(low, high) for _ in range(count)]

    return [
        _test("one number", [7]),
        _test("one negative", [-7]),
        _test("a textbook's", [-2, 1, -3, 4, -1, 2, 1, -5, 4]),
        _test("only zeros", [0] * 10),
        _test("only negative", numbers(100, -1000, -1)),
        _test("only positive", numbers(1000, 1, 1000)),
        _test("best at the start", [1000] * 10 + numbers(900, -1000, -1)),
        _test("best at the end", numbers(900, -1000, -1) + [1000] * 10),
        _test("alternating", [1000, -999] * 2000),
        _test("mixed", numbers(20_000, -1000, 1000)),
        _test("large", numbers(100_000, -1_000_000, 1_000_000)),
        _test("large and rising", numbers(100_000, -499_999, 500_001)),
    ]


def _test(name: str, numbers: list[int]) -> Test:
    lines = f"{len(numbers)}\n{' '.join(map(str, numbers))}\n"
    return Test(name, lines.encode(), str(_largest_sum(numbers)).encode())


def _largest_sum(numbers: list[int]) -> int:
    """Solve it by prefix sums, unlike the solutions that are judged by it."""
    best, total, lowest = numbers[0], 0, 0
    for number in numbers:
        total += number
        best = max(best, total - lowest)
        lowest = min(lowest, total)
    return best
