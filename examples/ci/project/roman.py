"""Roman numerals, both ways."""

VALUES = dict(
    zip(
        ("M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"),
        (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
        strict=True,
    )
)
HIGHEST = 3999


def to_roman(number: int) -> str:
    """Write a number from 1 to 3999 as a Roman numeral.

    Raises:
        ValueError: the number has no Roman numeral.

    """
    if not 1 <= number <= HIGHEST:
        raise ValueError(f"must be from 1 to {HIGHEST}, is {number}")
    numeral = ""
    for letters, value in VALUES.items():
        count, number = divmod(number, value)
        numeral += letters * count
    return numeral


def from_roman(numeral: str) -> int:
    """Read a Roman numeral.

    Raises:
        ValueError: it is none, or not in its one proper form.

    """
    number, rest = 0, numeral
    for letters, value in VALUES.items():
        while rest.startswith(letters):
            number += value
            rest = rest.removeprefix(letters)
    if rest or not number or number > HIGHEST or to_roman(number) != numeral:
        raise ValueError(f"is no Roman numeral: {numeral!r}")
    return number
