"""Short and long."""

from kit import write_test

for place, count in enumerate((1, 2, 10, 999, 1000)):
    numbers = "".join(f"{number}\n" for number in range(count, 0, -1))
    write_test(f"all.{place}", f"{count}\n", numbers)
