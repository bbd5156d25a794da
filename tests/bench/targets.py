"""What the relay is to reach, and whether this run did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container

    from tests.bench.results import Results


class Target(NamedTuple):
    """One bound, as a ratio of two contenders or as a figure of ours.

    Attributes:
        text: what is wanted.
        shape: where.
        figure: what is looked at.
        bound: what it is to stay at or below …
        then: … and what comes after that, if anything.
        beside: whose figure ours is divided by; None for ours alone.
        times_better: the ratio is turned round, and the bound is to be reached or passed.
    """

    text: str
    shape: str
    figure: str
    bound: float
    then: float | None = None
    beside: str | None = None
    times_better: bool = False

    def value(self, results: Results) -> float | None:
        """Return what this run has; None when it was not measured."""
        if self.beside is None:
            return results.median(self.shape, "ours", self.figure)
        mine, theirs = ("ours", self.beside)
        if self.times_better:
            mine, theirs = theirs, mine
        ratio = results.ratio(self.shape, mine, theirs, self.figure)
        return None if ratio is None else ratio.median

    def meets(self, value: float, bound: float) -> bool:
        """Tell whether a value reaches a bound."""
        return value >= bound if self.times_better else value <= bound


TARGETS = (
    Target(
        "wide paced: CPU per delivery ÷ C floor A", "wide-paced", "cpu_us", 1.35, 1.2, "floor-a"
    ),
    Target(
        "wide saturated: CPU per delivery ÷ C floor B",
        "wide-saturated",
        "cpu_us",
        1.3,
        beside="floor-b",
    ),
    Target(
        "wide saturated: times better than Nchan",
        "wide-saturated",
        "cpu_us",
        10,
        beside="nchan",
        times_better=True,
    ),
    Target(
        "wide saturated: times better than plain Starlette",
        "wide-saturated",
        "cpu_us",
        30,
        beside="plain",
        times_better=True,
    ),
    Target(
        "narrow paced: CPU per message ÷ reading through redis-py",
        "narrow-paced",
        "cpu_us",
        0.5,
        beside="ours-listen",
    ),
    Target("idle: KB per connection", "idle", "kb", 4, 2),
    Target("handshake with recovery: µs CPU", "handshake-recovering", "cpu_us", 300, 150),
    Target("storm: p99 until caught up, s", "storm", "p99_s", 3),
    Target("storm: messages lost, doubled or out of order", "storm", "wrong", 0),
    Target("slow reader: p99 of the others with it ÷ without it", "slow", "p99_ratio", 1.25),
    Target("slow reader: KB in user space (64 + 4)", "slow", "kb", 68),
    Target("hold: p99 of /health/live, ms", "hold", "lag_p99_ms", 50),
    Target("hold: connections dropped", "hold", "dropped", 0),
)


def judge(results: Results, shapes: Container[str]) -> list[dict[str, Any]]:
    """Return every target of these shapes with what this run has for it."""
    judged = []
    for target in TARGETS:
        if target.shape not in shapes:
            continue
        value = target.value(results)
        if value is None:
            verdict = "not measured"
        elif not target.meets(value, target.bound):
            verdict = "not met"
        elif target.then is not None and not target.meets(value, target.then):
            verdict = "met; next not met"
        else:
            verdict = "met"
        judged.append(
            {
                "target": target.text,
                "bound": target.bound,
                "next": target.then,
                "at_least": target.times_better,
                "value": value,
                "verdict": verdict,
            }
        )
    return judged
