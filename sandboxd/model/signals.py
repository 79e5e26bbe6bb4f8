"""Signals by their names without SIG ("TERM", "RTMIN+3"), as outcomes and callers write them."""

from __future__ import annotations

import signal


def signal_name(number: int) -> str:
    """Name a signal; real-time ones count from RTMIN."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return f"RTMIN+{number - signal.SIGRTMIN}"


def signal_number(name: str) -> int | None:
    """Give the number of a signal; None for a name that is none's."""
    start, _, offset = name.partition("+")
    if start == "RTMIN" and offset.isascii() and offset.isdigit() and len(offset) < len("100"):
        number = signal.SIGRTMIN + int(offset)
        return number if number <= signal.SIGRTMAX else None
    found = signal.Signals.__members__.get(f"SIG{name}")
    return None if found is None else int(found)
