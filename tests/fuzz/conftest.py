"""The fuzz lane: bytes and system calls at random, bounded here, for long with `make fuzz`."""

from __future__ import annotations

from lane import house

__all__ = ["house"]
