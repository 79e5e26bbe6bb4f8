"""Rows that are sorted, upside down, and at random; counted while they are sorted in."""

from bisect import bisect_left, insort

from kit import chance, write_test

generator = chance(6)


def inversions(row):
    """Count what is larger and was there before; each of some chunks is sorted by itself."""
    chunks = [[] for _ in range(len(row) // 512 + 1)]
    count = 0
    for number in row:
        own = number // 512
        count += sum(map(len, chunks[own + 1 :]))
        count += len(chunks[own]) - bisect_left(chunks[own], number)
        insort(chunks[own], number)
    return count


def shuffled(size):
    row = list(range(1, size + 1))
    generator.shuffle(row)
    return row


def downwards(size):
    return list(range(size, 0, -1))


rows = {
    "few": [[1], [2, 1], shuffled(50), downwards(50)],
    "some": [shuffled(16000), downwards(16000), list(range(1, 16001))],
    "many": [shuffled(200_000), downwards(200_000)],
}
for subtask, all_rows in rows.items():
    for place, row in enumerate(all_rows):
        size = len(row)
        count = size * (size - 1) // 2 if row == downwards(size) else inversions(row)
        write_test(f"{subtask}.{place}", f"{size}\n{' '.join(map(str, row))}\n", f"{count}\n")
