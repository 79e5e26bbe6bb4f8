"""The corners by hand, the others at random but the same each time."""

from kit import chance, write_test


def largest_sum(numbers):
    """Solve it by prefix sums, unlike the solutions that are judged by it."""
    best, total, lowest = numbers[0], 0, 0
    for number in numbers:
        total += number
        best = max(best, total - lowest)
        lowest = min(lowest, total)
    return best


generator = chance(2026)


def chosen(count, low, high):
    return [generator.randint(low, high) for _ in range(count)]


rows = [
    [7],
    [-7],
    [-2, 1, -3, 4, -1, 2, 1, -5, 4],
    [0] * 10,
    chosen(100, -1000, -1),
    chosen(1000, 1, 1000),
    [1000] * 10 + chosen(900, -1000, -1),
    chosen(900, -1000, -1) + [1000] * 10,
    [1000, -999] * 2000,
    chosen(20_000, -1000, 1000),
    chosen(100_000, -1_000_000, 1_000_000),
    chosen(100_000, -499_999, 500_001),
]
for place, row in enumerate(rows):
    write_test(
        f"all.{place:02}", f"{len(row)}\n{' '.join(map(str, row))}\n", f"{largest_sum(row)}\n"
    )
