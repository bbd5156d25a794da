"""The picture."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.bench.chart import Bar, Panel, draw

_SVG = "{http://www.w3.org/2000/svg}"


def _drawn() -> ET.Element:
    bars = [Bar("a < b & c", "other", 25.0), Bar("ours", "ours", 10.0), Bar("nil", "floor", 0.0)]
    return ET.fromstring(draw([Panel("One", "µs", bars), Panel("Two", "KB", bars)], 'a "caption"'))


def test_it_is_well_formed_whatever_the_names_are() -> None:
    """Names are escaped."""
    texts = [text.text for text in _drawn().iter(f"{_SVG}text")]
    assert texts.count("a < b & c") == 2
    assert texts.count("10 µs") == texts.count("10 KB") == 1


def test_bars_are_as_long_as_their_values_and_the_lowest_comes_first() -> None:
    """They begin at zero; nothing is still a line that can be seen."""
    widths = [float(bar.get("width", "nan")) for bar in _drawn().iter(f"{_SVG}rect")]
    assert widths[0] == 1.0
    assert widths[2] == 2.5 * widths[1]


def test_one_that_is_far_longer_is_drawn_broken() -> None:
    """The others keep a scale on which they can be compared."""
    bars = [Bar("a", "other", 999.0), Bar("b", "other", 20.0), Bar("c", "other", 10.0)]
    root = ET.fromstring(draw([Panel("One", "µs", bars)], "caption"))
    widths = [float(bar.get("width", "nan")) for bar in root.iter(f"{_SVG}rect")]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    assert widths[2] > widths[1]
    assert len(list(root.iter(f"{_SVG}path"))) == 1


def test_nothing_lies_outside() -> None:
    """Within the view box, but for the ends of texts."""
    root = _drawn()
    _, _, width, height = map(float, root.get("viewBox", "").split())
    for bar in root.iter(f"{_SVG}rect"):
        assert float(bar.get("x", "nan")) + float(bar.get("width", "nan")) <= width
    assert all(float(text.get("y", "nan")) <= height for text in root.iter(f"{_SVG}text"))
