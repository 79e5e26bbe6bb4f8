"""What the project promises, and that it runs in a sandbox."""

import os
import socket
from pathlib import Path

import pytest
from roman import HIGHEST, from_roman, to_roman


@pytest.mark.parametrize(
    ("number", "numeral"), [(1, "I"), (4, "IV"), (1994, "MCMXCIV"), (3999, "MMMCMXCIX")]
)
def test_a_number_has_its_numeral(number: int, numeral: str) -> None:
    assert to_roman(number) == numeral


def test_every_numeral_reads_back() -> None:
    assert all(from_roman(to_roman(number)) == number for number in range(1, HIGHEST + 1))


@pytest.mark.parametrize("numeral", ["", "IIII", "VX", "roman", "MMMM"])
def test_what_is_no_numeral_is_refused(numeral: str) -> None:
    with pytest.raises(ValueError, match="no Roman numeral"):
        from_roman(numeral)


@pytest.mark.parametrize("number", [0, -1, 4000])
def test_what_has_no_numeral_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="must be from 1"):
        to_roman(number)


def test_a_suite_may_write_files(tmp_path: Path) -> None:
    file = tmp_path / "numeral"
    file.write_text(to_roman(2026))
    assert file.read_text() == "MMXXVI"


def test_a_suite_cannot_reach_the_network() -> None:
    with pytest.raises(OSError), socket.socket() as connection:  # noqa: PT011 - refused in some way
        connection.connect(("192.0.2.1", 80))


def test_a_suite_sees_only_its_own_processes() -> None:
    assert sum(name.isdigit() for name in os.listdir("/proc")) <= 3
