"""Draws bars and lines as SVG, light or dark as the reader's page is; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH, LEFT, TOP, LINE = 760, 210, 44, 26
HEIGHT, MARGIN, LEGEND = 320, 56, 190
COLOURS = ("#2f6fde", "#d9622b", "#2a9d5c", "#8c54c4", "#8a8f98")
Point = tuple[float, float]
STYLE = """<style>
text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600;font-size:15px}
.faint{fill:#666}.axis{stroke:#bbb}
@media(prefers-color-scheme:dark){text{fill:#ddd}.faint{fill:#999}.axis{stroke:#555}}
</style>"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its name, the interval that holds it, and whether it is the one that counts."""

    name: str
    value: float
    low: float
    high: float
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Points with a name; those of the same colour number belong together."""

    name: str
    points: Sequence[Point]
    colour: int
    is_dashed: bool = False


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Draw a row a value, each with its whisker, all from zero."""
    scale = (WIDTH - LEFT - 80) / max(row.high for row in rows)
    parts = [_text(16, 26, title, "title")]
    for number, row in enumerate(rows):
        y = TOP + number * LINE
        end = LEFT + row.value * scale
        parts += [
            _text(LEFT - 10, y + 15, row.name, "", "end"),
            _rectangle((LEFT, y + 2), (row.value * scale, 17), COLOURS[0 if row.is_ours else -1]),
            _line((LEFT + row.low * scale, y + 10.5), (LEFT + row.high * scale, y + 10.5)),
            _text(max(end, LEFT + row.high * scale) + 8, y + 15, f"{row.value:.2f}"),
        ]
    return _page(TOP + len(rows) * LINE + 12, parts)


def lines(title: str, across: str, upwards: str, series: Sequence[Series]) -> str:
    """Draw lines; the upward axis is logarithmic."""
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    right, bottom = WIDTH - LEGEND, HEIGHT - MARGIN
    most = max(xs) * 1.05
    low, high = math.log(min(ys) / 1.2), math.log(max(ys) * 1.2)

    def place(x: float, y: float) -> Point:
        share = (math.log(y) - low) / (high - low)
        return MARGIN + x / most * (right - MARGIN), bottom - share * (bottom - TOP)

    parts = [_text(16, 26, title, "title"), _text(right, HEIGHT - 14, across, "faint", "end")]
    parts.append(_text(MARGIN, TOP + 4, upwards, "faint"))
    for value in _round_values(math.exp(low), math.exp(high)):
        _, y = place(0, value)
        parts += [_line((MARGIN, y), (right, y)), _text(MARGIN - 8, y + 4, f"{value:g}", "", "end")]
    step = 10 ** math.floor(math.log10(most))
    step = step if most / step >= 3 else step / 4
    for number in range(int(most / step) + 1):
        x, _ = place(number * step, 1)
        parts.append(_text(x, bottom + 20, f"{number * step:g}", "", "middle"))
    for number, one in enumerate(series):
        parts += _series(one, [place(*point) for point in one.points], (right, TOP + number * 22))
    return _page(HEIGHT, parts)


def _series(
    one: Series, places: Sequence[tuple[float, float]], key: tuple[float, float]
) -> list[str]:
    """Draw a line with its points, and its row of the legend."""
    colour = COLOURS[one.colour % len(COLOURS)]
    dashes = ' stroke-dasharray="5 4"' if one.is_dashed else ""
    look = f'fill="none" stroke="{colour}" stroke-width="2"{dashes}'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = key
    return [
        f'<polyline points="{path}" {look}/>',
        *(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>' for px, py in places),
        f'<polyline points="{x + 12},{y} {x + 38},{y}" {look}/>',
        _text(x + 44, y + 4, one.name),
    ]


def _round_values(low: float, high: float) -> Iterator[float]:
    """Give the values 1, 2, 5, 10, 20 … and 0.5, 0.2 … that lie between two."""
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for digit in (1, 2, 5):
            if low <= digit * 10.0**power <= high:
                yield digit * 10.0**power


def _line(start: Point, end: Point) -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<line class="axis" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _rectangle(at: Point, size: Point, colour: str) -> str:
    place = f'x="{at[0]:.1f}" y="{at[1]:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}"'
    return f'<rect {place} rx="2" fill="{colour}"/>'


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    look = f'class="{kind}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(words)}</text>'


def _page(height: float, parts: Sequence[str]) -> str:
    box = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}"'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {box}>', STYLE, *parts, "</svg>\n"])
