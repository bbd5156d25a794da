"""Everything that a run has found out, and how it goes into a file."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import cores
from tests.bench.figures import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.shapes.shape import Figures


class Results:
    """Figures of every round, by shape and contender, and why others are missing.

    Attributes:
        rounds: shape → contender → one entry for each round that came about.
        problems: shape → contender → why a round did not, or why it was left out.
        versions: contender → what exactly was measured.
        absent: contender → why it could not be run at all.
    """

    def __init__(self) -> None:
        self.rounds: dict[str, dict[str, list[Figures]]] = {}
        self.problems: dict[str, dict[str, str]] = {}
        self.versions: dict[str, str] = {}
        self.absent: dict[str, str] = {}
        self.began = time.time()

    def add(self, shape: str, contender: str, figures: Figures) -> None:
        """Note one round."""
        self.rounds.setdefault(shape, {}).setdefault(contender, []).append(figures)

    def miss(self, shape: str, contender: str, why: str) -> None:
        """Note why there is nothing."""
        self.problems.setdefault(shape, {})[contender] = why

    def spread(self, shape: str, contender: str, figure: str) -> Spread | None:
        """Return a figure over all rounds; None when there is none."""
        values = [
            figures[figure]
            for figures in self.rounds.get(shape, {}).get(contender, ())
            if figure in figures
        ]
        return Spread.of(values) if values else None

    def median(self, shape: str, contender: str, figure: str) -> float | None:
        """Return a figure's median; None when there is none."""
        spread = self.spread(shape, contender, figure)
        return None if spread is None else spread.median

    def ratio(self, shape: str, contender: str, other: str, figure: str) -> Spread | None:
        """Return how a figure compares with another contender's, round by round.

        Rounds of both stand next to one another in time, so a machine that slows down spoils no ratio.
        """
        pairs = zip(
            self.rounds.get(shape, {}).get(contender, ()),
            self.rounds.get(shape, {}).get(other, ()),
            strict=False,
        )
        ratios = [
            mine[figure] / theirs[figure]
            for mine, theirs in pairs
            if figure in mine and theirs.get(figure)
        ]
        return Spread.of(ratios) if ratios else None

    def write(self, path: Path, targets: Sequence[dict[str, Any]]) -> None:
        """Write everything as JSON."""
        path.parent.mkdir(exist_ok=True)
        document = {
            "machine": machine(),
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "took_s": round(time.time() - self.began),
            "pinned": cores.describe(),
            "versions": self.versions,
            "absent": self.absent,
            "shapes": {
                shape: {
                    contender: {
                        "figures": {
                            figure: Spread.of(
                                one[figure] for one in rounds if figure in one
                            )._asdict()
                            for figure in rounds[0]
                        },
                        "rounds": rounds,
                    }
                    for contender, rounds in contenders.items()
                }
                for shape, contenders in self.rounds.items()
            },
            "problems": self.problems,
            "targets": list(targets),
        }
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def machine() -> dict[str, str | int]:
    """Return what can be said of this machine without naming it."""
    model = "unknown"
    with Path("/proc/cpuinfo").open() as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cores": 2 if cores.HAVE_TWO else 1,
        "processor": model,
        "memory_gib": round(memory_kb / 1024 / 1024),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
