"""Where the files lie that come with sandboxd: inside the package, or beside it in a checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def shipped(inside: str, in_checkout: str) -> Path:
    """Give a directory of the package, where there is one; else that of the checkout around it."""
    from pathlib import Path  # noqa: PLC0415 - what is cloned stays small

    package = Path(__file__).resolve().parent
    place = package / inside
    return place if place.is_dir() else package.parent / in_checkout
