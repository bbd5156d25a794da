"""Every shape, in the order of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.shapes.fanout import NarrowPaced, NarrowSaturated, WidePaced, WideSaturated
from tests.bench.shapes.handshake import Handshake, HandshakeRecovering
from tests.bench.shapes.hold import Hold
from tests.bench.shapes.idle import Idle
from tests.bench.shapes.slow import Slow
from tests.bench.shapes.storm import Storm

if TYPE_CHECKING:
    from tests.bench.shapes.shape import Shape

_ALL: tuple[Shape, ...] = (
    WidePaced(),
    WideSaturated(),
    NarrowPaced(),
    NarrowSaturated(),
    Handshake(),
    HandshakeRecovering(),
    Idle(),
    Storm(),
    Slow(),
    Hold(),
)

SHAPES: dict[str, Shape] = {shape.name: shape for shape in _ALL}

# All but the one that takes minutes by itself: `make bench-hold`.
FULL_SHAPES = [name for name in SHAPES if name != "hold"]

QUICK_SHAPES = [name for name in FULL_SHAPES if name not in {"storm", "slow"}]
