"""A run as tables in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from tests.bench.contenders.contender import Contender
    from tests.bench.figures import Spread
    from tests.bench.results import Results
    from tests.bench.shapes.shape import Shape
    from tests.bench.sizes import Sizes

_FLOORS = {"floor-a": "÷ floor A", "floor-b": "÷ floor B"}
_SHARES = {"server_busy", "load_core_busy"}


def show_shape(
    console: Console,
    shape: Shape,
    contenders: Sequence[Contender],
    results: Results,
    sizes: Sizes,
) -> None:
    """Print what one shape has found out: medians, and for its first figure the lowest and highest round, too."""
    measured = results.rounds.get(shape.name, {})
    first = next(iter(shape.columns))
    beside = [
        (name, heading)
        for name, heading in {**_FLOORS, "ours": "÷ ours"}.items()
        if name in measured and len(measured) > 1
    ]
    table = Table(title=f"{shape.name}: {shape.describe(sizes)}", title_justify="left")
    table.add_column("", no_wrap=True)
    shown = [(figure, heading) for figure, heading in shape.columns.items()]
    for number, (_, heading) in enumerate(shown):
        table.add_column(heading, justify="right")
        if number == 0:
            for _, ratio_heading in beside:
                table.add_column(ratio_heading, justify="right")
    for contender in contenders:
        problem = results.problems.get(shape.name, {}).get(contender.name)
        if contender.name not in measured:
            if problem is not None and problem != "not made for this shape":
                table.add_row(contender.title, problem, style="dim")
            continue
        cells = []
        for number, (figure, _) in enumerate(shown):
            spread = results.spread(shape.name, contender.name, figure)
            cells.append(_cell(figure, spread, with_rounds=number == 0))
            if number == 0:
                for name, _ in beside:
                    ratio = results.ratio(shape.name, contender.name, name, first)
                    cells.append("-" if ratio is None else f"{ratio.median:.2f}")
        title = contender.title if problem is None else f"{contender.title} (!)"
        table.add_row(title, *cells)
    console.print(table)
    for contender in contenders:
        problem = results.problems.get(shape.name, {}).get(contender.name)
        if problem is not None and contender.name in measured:
            console.print(f"  (!) {contender.title}: {problem}", style="yellow", markup=False)


def show_targets(console: Console, judged: Sequence[dict[str, Any]]) -> None:
    """Print which targets this run has met."""
    table = Table(title="Targets", title_justify="left")
    for heading in ("", "wanted", "this run", ""):
        table.add_column(heading, justify="left" if not heading else "right")
    for entry in judged:
        sign = "≥" if entry["at_least"] else "≤"
        wanted = f"{sign} {entry['bound']:g}"
        if entry["next"] is not None:
            wanted += f", then {entry['next']:g}"
        value = "-" if entry["value"] is None else f"{entry['value']:.3g}"
        style = {"not met": "red", "met": "green"}.get(entry["verdict"], "yellow")
        table.add_row(entry["target"], wanted, value, f"[{style}]{entry['verdict']}[/]")
    console.print(table)


def _cell(figure: str, spread: Spread | None, *, with_rounds: bool) -> str:
    if spread is None:
        return "-"
    if figure in _SHARES:
        return f"{spread.median:.0%}"
    text = _number(spread.median)
    if spread.low == spread.high or not with_rounds:
        return text
    return f"{text} ({_number(spread.low)}-{_number(spread.high)})"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
