"""The least, the largest, and some between."""

from kit import write_test

for place, number in enumerate((4, 6, 8, 98, 100, 4096, 65536, 503222, 999998, 1000000)):
    write_test(f"all.{place:02}", f"{number}\n")
