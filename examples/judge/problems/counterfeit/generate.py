"""How many coins, which one is heavy, how often it may be weighed."""

from kit import write_test


def weighings(count):
    times = 0
    while 3**times < count:
        times += 1
    return times


for place, (count, heavy) in enumerate(((1, 1), (2, 2), (9, 5))):
    write_test(f"few.{place}", f"{count} {heavy} 5\n")
for place, (count, heavy) in enumerate(((81, 81), (2187, 1), (100_000, 31_415))):
    write_test(f"many.{place}", f"{count} {heavy} {weighings(count)}\n")
