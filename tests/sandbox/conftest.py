"""The sandbox lane: real namespaces and cgroups, as an ordinary user."""

from __future__ import annotations

from lane import house

__all__ = ["house"]
