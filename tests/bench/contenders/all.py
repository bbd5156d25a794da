"""Every contender, in the order of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.contenders.centrifugo import Centrifugo
from tests.bench.contenders.floor import FloorEach, FloorJoined
from tests.bench.contenders.hint_relay import HintRelay, Listen, PlainAsgi
from tests.bench.contenders.nats import Nats
from tests.bench.contenders.nchan import Nchan
from tests.bench.contenders.python_servers import Broadcaster, PlainStarlette, Socketify, SocketIo

if TYPE_CHECKING:
    from tests.bench.contenders.contender import Contender

_ALL: tuple[Contender, ...] = (
    FloorEach(),
    FloorJoined(),
    HintRelay(),
    PlainAsgi(),
    Listen(),
    PlainStarlette(),
    Broadcaster(),
    SocketIo(),
    Socketify(),
    Nchan(),
    Nats(),
    Centrifugo(),
)

CONTENDERS: dict[str, Contender] = {contender.name: contender for contender in _ALL}

QUICK = ["floor-a", "floor-b", "ours", "ours-asgi", "plain"]
