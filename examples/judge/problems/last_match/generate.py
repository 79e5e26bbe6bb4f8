"""Short and long games; the answer is what the opponent would like to take."""

from kit import write_test

for place, (count, habit) in enumerate(((3, 1), (5, 3), (10, 2), (21, 1), (23, 3))):
    write_test(f"all.{place}", f"{count}\n", f"{habit}\n")
