"""How a client asks for a WebSocket, and how none would; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.fuzz.words import NAMES, NUMBERS, POSITIONS, SESSIONS, TEXTS
from tests.support.websocket import request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fuzz.dice import Dice
    from tests.fuzz.messages import Messages

KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
_VALUES: dict[str, tuple[str, ...]] = {
    "Sec-WebSocket-Key": ("", "x", KEY * 2, KEY[:-1], "A" * 24, "\u00e9" * 24, "AAAAAAAAAAAAAAAAAAAAAA=A"),
    "Sec-WebSocket-Version": ("", "12", "13, 13", "8", "14", "13x", "-1", "13 "),
    "Upgrade": ("", "WebSocket", "websocket, h2c", "h2c", "websocket/13", "websocketx"),
    "Connection": ("", "upgrade", "keep-alive, Upgrade", "close", "Upgrade, close", "keep-alive", ",,"),
    "Host": ("", "localhost:99999", "evil.example", "a b", "\u00e9", "a, b"),
    "Origin": ("null", "", "http://localhost", "https://evil.example", "http://127.0.0.1:3000", "x"),
    "Sec-WebSocket-Protocol": (
        "hints.v1", "hints.v1, bearer.x", "bearer.", "a b", ",", "hints.v2", "bearer.a, bearer.b", "\u00e9",
        "x" * 3000, ", ".join(f"p{number}" for number in range(200)),
    ),
    "Sec-WebSocket-Extensions": (
        "permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate; x=y",
        "permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=99",
        "permessage-deflate, permessage-deflate", "x-webkit-deflate-frame", ";", ",", 'a;b="', "\u00e9",
    ),
    "Content-Length": ("0", "5", "-1", "x"),
    "Transfer-Encoding": ("chunked", "identity"),
    "Expect": ("100-continue",),
    "X-Forwarded-For": ("1.2.3.4", "unknown", "127.0.0.1", "::1", "1.2.3.4:5", ","),
    "Authorization": ("Bearer x", "Bearer", "Basic x", "Bearer a b"),
}  # fmt: skip


class Handshakes:
    """Throws handshakes.

    Args:
        dice: decide.
        messages: make bytes wrong.
        tokens: those that a client may show.
    """

    def __init__(self, dice: Dice, messages: Messages, tokens: Sequence[str] = ()) -> None:
        self._dice = dice
        self._messages = messages
        self._tokens = tokens

    def good(self, *, is_deflated: bool = False) -> bytes:
        """Return one that opens a WebSocket, unless its token is refused then."""
        dice = self._dice
        path = f"/ws?session={dice.pick(SESSIONS)}&replay={dice.below(4)}"
        if dice.chance(0.3):
            path += f"&guest=g{dice.below(50)}"
        headers = []
        if self._tokens:
            token = dice.pick(self._tokens)
            if dice.chance(0.5):
                path += f"&token={quote(token)}"
            else:
                headers.append(("Sec-WebSocket-Protocol", f"hints.v1, bearer.{quote(token)}"))
        if is_deflated:
            headers.append(("Sec-WebSocket-Extensions", "permessage-deflate"))
        return request(path, key=KEY, headers=headers)

    def any(self) -> bytes:
        """Return what might be one."""
        dice = self._dice
        kind = dice.below(10)
        if kind == 0:
            return dice.bytes(dice.size(3000))
        names = list(_VALUES)
        headers, without = [], []
        for _ in range(dice.size(4)):
            name = dice.pick(names)
            if dice.chance(0.3):
                without.append(name)
            else:
                headers.append((name, dice.pick(_VALUES[name])))
        line = None
        if dice.chance(0.1):
            method = dice.pick(("POST", "GET", "HEAD", "OPTIONS", "get"))
            line = f"{method} /ws?session=fuzz-1 HTTP/{dice.pick(('1.0', '1.1', '2.0'))}"
        data = request(self._path(), key=KEY, headers=headers, without=without, line=line)
        if kind < 3:
            data = self._messages.bytes_spoiled(data, dice.size(4))
        if kind == 3:
            data = data[: dice.below(len(data))]
        if kind == 4:
            data = data[:-2] + b"X: y\r\n" * dice.size(4000) + b"\r\n"
        if kind == 5:
            data = dice.bytes(dice.size(50)) + data
        return data

    def _path(self) -> str:
        dice = self._dice
        words = []
        values = {
            "session": (*SESSIONS, *TEXTS), "since": POSITIONS, "replay": NUMBERS, "guest": NAMES,
            "token": self._tokens or TEXTS, "x": TEXTS,
        }  # fmt: skip
        if dice.chance(0.8):
            words.append(f"session={dice.pick(SESSIONS)}")
        while dice.chance(0.5):
            name = dice.pick(list(values))
            words.append(f"{name}={quote(dice.pick(values[name]))}")
        return f"{dice.pick(('/ws',) * 8 + ('/', '/ws/', '/events', '/%ff'))}?{'&'.join(words)}"
