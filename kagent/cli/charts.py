"""Charts of learning curves as SVG: text without scripts or fonts of its own, for pages of light and dark colours.

Text and axes have the colour of the text around them (`currentColor`) where the SVG stands inside a page, and follow the reader's
choice of light or dark where it is an image.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

import numpy as np

# Told apart by colour-blind readers, and at least 3:1 in contrast to white and to black pages; dashes beyond them.
COLOURS = ("#2f86c9", "#d9661f", "#1f9d74", "#c464a0", "#a8860b", "#7a6ff0")
_DASHES = ("", "7 4", "2 3", "9 3 2 3")
_THEMES = "svg:root{color:#333}@media(prefers-color-scheme:dark){svg:root{color:#ccc}}"  # `:root`: not inside a page
_WIDTH, _PLOT = 480, 210  # of the view box, and of the area of lines, in pixels
_LETTER = 7.2  # pixels that a letter of 13 takes at most, on average
_RIGHT, _HEAD, _FOOT = 18, 58, 46


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A line of a chart.

    Attributes:
        label: For the legend; "" leaves it out.
        x, y: `(points,)`, ascending in `x`; of one point a dot is drawn.
        low, high: The ends of the band, `(points,)`; None: there is none.
        colour: Its place in the list of colours; beyond the list lines have dashes.
        dots: Draw the points alone.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    colour: int = 0
    dots: bool = False


def chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_label: str,
    level: tuple[float, str] | None = None,
    x_end: float | None = None,
    standalone: bool = False,
    metadata: str = "",
) -> str:
    """An SVG of some lines over the same `x`.

    Args:
        lines: At least one.
        title: Above the chart.
        x_label, y_label: Of the axes, with units.
        level: A dotted line at this height, with its label for the legend.
        x_end: Where the axis ends; None: where the lines do.
        standalone: For a file of its own, which chooses its colours itself.
        metadata: Text for `<metadata>`.

    Returns:
        `<svg ...>...</svg>`.

    Example:

    >>> drawn = chart([Line("PPO", np.arange(3.0), np.arange(3.0))], title="A", x_label="timesteps", y_label="return")
    >>> drawn.startswith("<svg "), drawn.count("<polyline")
    (True, 1)
    """
    heights = np.concatenate([part for line in lines for part in (line.y, line.low, line.high) if part is not None])
    if level is not None:
        heights = np.append(heights, level[0])
    y_ticks = ticks(float(heights.min()), float(heights.max()), 5)
    bottom, top = min(y_ticks[0], float(heights.min())), max(y_ticks[-1], float(heights.max()))
    start = min(0.0, min(float(line.x[0]) for line in lines))
    end = max(float(line.x[-1]) for line in lines) if x_end is None else x_end
    end = end if end > start else start + 1.0
    highest, farthest = max(map(abs, y_ticks)), max(abs(start), abs(end))
    left = 16 + _LETTER * max(len(shown(value, highest)) for value in y_ticks)
    width = _WIDTH - left - _RIGHT

    def across(value: float) -> float:
        return left + width * (value - start) / (end - start)

    def up(value: float) -> float:
        return _HEAD + _PLOT * (top - value) / (top - bottom)

    drawn = [
        f'<text x="{left:.0f}" y="20" font-size="15" font-weight="600">{escape(_cut(title, (_WIDTH - left) / 8))}</text>',
        f'<text x="{left:.0f}" y="43" opacity=".8">{escape(y_label)}</text>',
    ]
    for value in y_ticks:
        drawn.append(f'<path d="M{left:.0f} {up(value):.1f}H{_WIDTH - _RIGHT}" stroke="currentColor" opacity=".15"/>')
        drawn.append(
            f'<text x="{left - 8:.0f}" y="{up(value) + 4.5:.1f}" text-anchor="end">{shown(value, highest)}</text>'
        )
    x_ticks = [value for value in ticks(start, end, 5) if start <= value <= end]
    for value in x_ticks:
        anchor = "end" if across(value) > _WIDTH - _RIGHT - 14 else "middle"
        place = _WIDTH - 4 if anchor == "end" else across(value)
        drawn.append(
            f'<text x="{place:.1f}" y="{_HEAD + _PLOT + 18}" text-anchor="{anchor}">{shown(value, farthest)}</text>'
        )
    floor = _HEAD + _PLOT
    drawn.append(f'<path d="M{left:.0f} {floor}H{_WIDTH - _RIGHT}" stroke="currentColor" opacity=".5"/>')
    drawn.append(f'<text x="{left + width / 2:.0f}" y="{floor + 37}" text-anchor="middle">{escape(x_label)}</text>')
    if level is not None:
        drawn.append(
            f'<path d="M{left:.0f} {up(level[0]):.1f}H{_WIDTH - _RIGHT}" stroke="currentColor" stroke-dasharray="2 4"/>'
        )
    for line in lines:
        drawn += _line(line, across, up)
    keys, below = _legend(lines, level, left, floor + _FOOT + 10)
    height = below if keys else floor + _FOOT
    about = f"<metadata>{escape(metadata)}</metadata>" if metadata else ""
    style = f"<style>{_THEMES}</style>" if standalone else ""
    size = f'width="{1.5 * _WIDTH:.0f}" height="{1.5 * height:.0f}" ' if standalone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title, {chr(34): "&quot;"})}" font-family="system-ui, sans-serif" font-size="13" '
        f'fill="currentColor">{about}{style}\n' + "\n".join(drawn + keys) + "\n</svg>\n"
    )


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers around a range, about so many, 1, 2 or 5 times a power of ten apart.

    Example:

    >>> ticks(3.0, 96.0, 5)
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    if not high > low:
        low, high = low - 1.0, low + 1.0
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def shown(value: float, largest: float = math.inf) -> str:
    """A number of an axis whose largest is this one: thousands are short where there are ten of them.

    Example:

    >>> shown(50_000.0), shown(1_500_000.0), shown(-0.25), shown(1500.0, largest=2000.0)
    ('50k', '1.5M', '-0.25', '1500')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size and abs(largest) >= 1e4:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _line(line: Line, across: Callable[[float], float], up: Callable[[float], float]) -> list[str]:
    place = [f"{across(x):.1f},{up(y):.1f}" for x, y in zip(line.x, line.y)]
    colour = COLOURS[line.colour % len(COLOURS)]
    if line.dots or len(place) == 1:
        circles = (one.split(",") for one in place)
        return [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}" fill-opacity=".75"/>' for x, y in circles]
    drawn = []
    if line.low is not None and line.high is not None:
        ends = [f"{across(x):.1f},{up(y):.1f}" for x, y in zip(line.x, line.high)]
        ends += [f"{across(x):.1f},{up(y):.1f}" for x, y in zip(line.x[::-1], line.low[::-1])]
        drawn.append(f'<polygon points="{" ".join(ends)}" fill="{colour}" opacity=".22"/>')
    drawn.append(
        f'<polyline points="{" ".join(place)}" fill="none" stroke="{colour}" stroke-width="2"{_dash(line)} '
        'stroke-linejoin="round"/>'
    )
    return drawn


def _dash(line: Line) -> str:
    dash = _DASHES[line.colour // len(COLOURS) % len(_DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _legend(lines: Sequence[Line], level: tuple[float, str] | None, left: float, top: float) -> tuple[list[str], float]:
    """The entries below the chart in rows that they fit into, and where these end."""
    entries = [(line.label, line) for line in lines if line.label] + ([(level[1], None)] if level else [])
    drawn, x, y = [], left, top
    for text, line in entries:
        label = _cut(text, (_WIDTH - left - 40) / _LETTER)
        size = 34 + _LETTER * len(label) + 14
        if x > left and x + size > _WIDTH:
            x, y = left, y + 22
        if line is None:
            drawn.append(f'<path d="M{x:.0f} {y:.0f}h26" stroke="currentColor" stroke-dasharray="2 4"/>')
        elif line.dots or len(line.x) == 1:
            colour = COLOURS[line.colour % len(COLOURS)]
            drawn.append(f'<circle cx="{x + 13:.0f}" cy="{y:.0f}" r="4" fill="{colour}" fill-opacity=".75"/>')
        else:
            colour = COLOURS[line.colour % len(COLOURS)]
            drawn.append(f'<path d="M{x:.0f} {y:.0f}h26" stroke="{colour}" stroke-width="3"{_dash(line)}/>')
        drawn.append(f'<text x="{x + 34:.0f}" y="{y + 4.5:.1f}">{escape(label)}</text>')
        x += size
    return drawn, y + 16


def _cut(text: str, letters: float) -> str:
    return text if len(text) <= letters else text[: max(int(letters) - 1, 1)] + "…"


def inline(svg: str) -> str:
    """A chart of a file of its own as part of a page, whose colours it takes and which gives it its size.

    Example:

    >>> inline('<svg x="1"><metadata>a</metadata><style>svg{}</style><path/></svg>')
    '<svg x="1"><path/></svg>'
    """
    svg = re.sub(r"<(metadata|style)>.*?</\1>", "", svg, flags=re.DOTALL)
    return re.sub(r' width="\d+" height="\d+"', "", svg, count=1)
