"""A run as a picture for the README: four panels of bars, SVG without scripts or fonts of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

# Greys and a blue that can be read on white and on GitHub's dark page alike: an <img> does not know
# which of the two it stands on.
_TEXT = "#768390"
_OURS = "#2f81f7"
_FLOOR = "#57ab5a"
_OTHER = "#909dab"

_WIDTH = 900
_PANEL_WIDTH = 440
_LABEL_WIDTH = 200
_BAR_WIDTH = 170
_ROW = 19
_BAR = 11
_TITLE = 40
_GAP = 24
_BROKEN_FROM = 4


class Bar(NamedTuple):
    """One contender in one panel.

    Attributes:
        label: its title.
        kind: "ours", "floor" or "other": its colour.
        value: not negative.
    """

    label: str
    kind: str
    value: float


class Panel(NamedTuple):
    """One figure of several contenders; its bars begin at zero and share a scale.

    One that is many times longer than all others is drawn broken, or the others could not be compared.
    """

    title: str
    unit: str
    bars: Sequence[Bar]


def draw(panels: Sequence[Panel], caption: str) -> str:
    """Return the picture: panels two by two, each sorted with the lowest value first."""
    parts: list[str] = []
    y = 8
    for start in range(0, len(panels), 2):
        row = panels[start : start + 2]
        for column, panel in enumerate(row):
            parts.append(_panel(panel, column * (_PANEL_WIDTH + 20), y))
        y += _TITLE + _ROW * max(len(panel.bars) for panel in row) + _GAP
    parts.append(_text(0, y, caption))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 14}" '
            f'width="{_WIDTH}" height="{y + 14}" role="img" '
            'font-family="system-ui, -apple-system, Segoe UI, sans-serif" font-size="12">',
            f"<title>{escape(caption)}</title>",
            *parts,
            "</svg>",
            "",
        ]
    )


def _panel(panel: Panel, x: int, y: int) -> str:
    parts = [_text(x, y + 14, panel.title, weight="600")]
    bars = sorted(panel.bars, key=lambda bar: bar.value)
    most = bars[-1].value or 1.0
    if len(bars) > 1 and most > _BROKEN_FROM * bars[-2].value > 0:
        most = 1.3 * bars[-2].value
    colours = {"ours": _OURS, "floor": _FLOOR}
    for number, bar in enumerate(bars):
        top = y + _TITLE - 14 + number * _ROW
        colour = colours.get(bar.kind, _OTHER)
        weight = "600" if bar.kind == "ours" else None
        width = min(_BAR_WIDTH, max(1.0, bar.value / most * _BAR_WIDTH))
        parts += [
            _text(x + _LABEL_WIDTH - 8, top + 10, bar.label, anchor="end", weight=weight),
            f'<rect x="{x + _LABEL_WIDTH}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="2" '
            f'fill="{colour}"/>',
            *([_break(x + _LABEL_WIDTH + width - 18, top)] if bar.value > most else []),
            _text(
                round(x + _LABEL_WIDTH + width + 6),
                top + 10,
                f"{_short(bar.value)} {panel.unit}",
                weight=weight,
            ),
        ]
    return "\n".join(parts)


def _break(x: float, y: int) -> str:
    """Return two slanted strokes across a bar."""
    strokes = "".join(f"M{x + shift:.1f} {y + _BAR + 2}l4 -{_BAR + 4}" for shift in (0, 4))
    return f'<path d="{strokes}" stroke="{_TEXT}" stroke-width="1.5"/>'


def _text(
    x: int, y: int, text: str, *, anchor: str | None = None, weight: str | None = None
) -> str:
    more = "" if anchor is None else f' text-anchor="{anchor}"'
    more += "" if weight is None else f' font-weight="{weight}"'
    return f'<text x="{x}" y="{y}" fill="{_TEXT}"{more}>{escape(text)}</text>'


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
