"""Which figures of a run go into the README's picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.chart import Bar, Panel, draw
from tests.bench.results import machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.contenders.contender import Contender
    from tests.bench.results import Results

_PANELS = (
    ("wide-paced", "cpu_us", "CPU per delivery, 1 session x 500, 50 messages/s", "µs"),
    ("wide-saturated", "cpu_us", "CPU per delivery, 1 session x 500, saturated", "µs"),
    ("narrow-paced", "cpu_us", "CPU per delivery, 1,000 sessions x 1", "µs"),
    ("idle", "kb", "Memory per idle connection", "KB"),
)


def picture(results: Results, contenders: Sequence[Contender]) -> str | None:
    """Return the SVG; None when this run has nothing for it."""
    panels = []
    for shape, figure, title, unit in _PANELS:
        bars = [
            Bar(contender.title, _kind(contender.name), median)
            for contender in contenders
            if (median := results.median(shape, contender.name, figure)) is not None
        ]
        if bars:
            panels.append(Panel(title, unit, bars))
    if not panels:
        return None
    facts = machine()
    rounds = max(len(figures) for shapes in results.rounds.values() for figures in shapes.values())
    return draw(
        panels,
        f"Medians of up to {rounds} rounds on one machine ({facts['cores']} cores, Linux "
        f"{str(facts['kernel']).partition('-')[0]}); less is better. The C floors do nothing but deliver.",
    )


def _kind(name: str) -> str:
    return "ours" if name == "ours" else "floor" if name.startswith("floor") else "other"
