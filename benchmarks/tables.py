"""Prints distributions as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from samples import Figures


def print_distributions(title: str, rows: dict[str, Figures]) -> None:
    """Print a row a distribution."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in next(iter(rows.values())):
        table.add_column(heading, justify="right")
    for name, figures in rows.items():
        values = (
            f"{value:.0f}" if key == "count" else f"{value:.3f}" for key, value in figures.items()
        )
        table.add_row(name, *values)
    Console(width=100).print(table)
