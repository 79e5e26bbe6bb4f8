"""Lines with spaces in all places, and many lines."""

import string

from kit import chance, write_test

generator = chance(4)
letters = string.ascii_letters + string.digits + "  .,"
texts = [
    ["one"],
    ["two lines", "of words"],
    ["  indented", "a  gap", "ends with a space "],
    ["", "empty lines", "", ""],
    ["".join(generator.choices(letters, k=generator.randint(1, 200))) for _ in range(1000)],
]
for place, lines in enumerate(texts):
    given = "".join(f"{line}\n" for line in lines)
    write_test(f"all.{place}", given, "".join(f"{line[::-1]}\n" for line in lines))
