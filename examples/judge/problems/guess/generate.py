"""The ends, the middle, and some between."""

from kit import write_test

for place, number in enumerate((1, 1_000_000, 500_000, 271_828, 777_777)):
    write_test(f"all.{place}", f"{number}\n")
