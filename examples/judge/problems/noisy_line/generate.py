"""A number, and which letter turns (beyond the end: none)."""

from kit import write_test

for place, case in enumerate(((0, 0), (1048575, 1), (699050, 31), (123456, 59), (42, 1000))):
    write_test(f"all.{place}", "{} {}\n".format(*case))
