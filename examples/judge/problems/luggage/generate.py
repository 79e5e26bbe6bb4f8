"""Bags in which it matters what goes in first; the best is known by trying all sums."""

from kit import chance, write_test

generator = chance(12)


def best(weights, capacity):
    sums = 1  # bit n: n kilograms can be reached
    for weight in weights:
        sums |= sums << weight
    return (sums & ((1 << (capacity + 1)) - 1)).bit_length() - 1


bags = {
    "small": [([3, 5, 5, 4], 10), ([1, 2, 4, 8], 15), ([7, 6, 5], 11)],
    "large": [
        ([2 * generator.randint(200, 450) for _ in range(199)] + [1], 20_000 - 1),
        (generator.choices(range(300, 1000), k=200), 4321),
        ([999] * 30 + [500, 501], 1001),
    ],
}
for subtask, all_bags in bags.items():
    for place, (weights, capacity) in enumerate(all_bags):
        given = f"{len(weights)} {capacity}\n{' '.join(map(str, weights))}\n"
        write_test(f"{subtask}.{place}", given, f"{best(weights, capacity)}\n")
