"""Messages as clients send them, and as none would; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tests.fuzz.words import ACTIONS, COMMANDS, HINTS, KEYS, TEXTS, TOKENS, TYPES, VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.fuzz.dice import Dice


class Messages:
    """Throws messages.

    Args:
        dice: decide.
        tokens: those that a client may show, good ones and others.
    """

    def __init__(self, dice: Dice, tokens: Sequence[str] = ()) -> None:
        self._dice = dice
        self._tokens = tokens or ("", "x", "a.b.c", "x" * 5000)
        self._inbound: tuple[Callable[[], dict[str, Any]], ...] = (
            self._ping, self._feedback, self._feedback, self._command, self._seen, self._refresh,
        )  # fmt: skip
        self._published: tuple[Callable[[], dict[str, Any]], ...] = (
            self._hint, self._hint, self._transcript, self._error, self._own, *self._inbound,
        )  # fmt: skip

    def inbound(self) -> bytes:
        """Return what a facilitator sends over a socket: right, wrong in JSON, or no JSON at all."""
        return self._spoiled(self._inbound)

    def published(self) -> bytes:
        """Return what anybody sends over HTTP."""
        return self._spoiled(self._published)

    def fields(self) -> dict[str, Any]:
        """Return a good message for HTTP."""
        return self._dice.pick(self._published)()

    def good(self) -> bytes:
        """Return a good message for a socket."""
        return orjson.dumps(self._dice.pick(self._inbound)())

    def bytes_spoiled(self, data: bytes, times: int = 1) -> bytes:
        """Return bytes with a few wrong ones."""
        dice = self._dice
        for _ in range(times):
            at = dice.below(len(data) + 1)
            match dice.below(7):
                case 0 | 1 if at < len(data):
                    data = data[:at] + bytes((data[at] ^ 1 << dice.below(8),)) + data[at + 1 :]
                case 2:
                    data = data[:at] + data[at + dice.size(16) :]
                case 3:
                    data = data[:at] + dice.pick(TOKENS) + data[at:]
                case 4:
                    data = data[:at]
                case 5:
                    end = at + dice.size(64)
                    data = data[:end] + data[at:end] * dice.size(8) + data[end:]
                case _:
                    data = data[:at] + dice.bytes(dice.size(32)) + data[at:]
        return data

    # Good ones

    def _ping(self) -> dict[str, Any]:
        return {"type": "ping"}

    def _feedback(self) -> dict[str, Any]:
        pick = self._dice.pick
        return {
            "type": "feedback", "id": self._id(), "hint": pick(HINTS), "action": pick(ACTIONS)
        }  # fmt: skip

    def _command(self) -> dict[str, Any]:
        pick = self._dice.pick
        message = {"type": "command", "id": self._id(), "name": pick(COMMANDS), "hint": pick(HINTS)}
        if message["name"] == "steer":
            message["text"] = pick(TEXTS) or "slower"
        return message

    def _seen(self) -> dict[str, Any]:
        return {"type": "seen", "hints": list(HINTS[: 1 + self._dice.below(len(HINTS))])}

    def _refresh(self) -> dict[str, Any]:
        return {"type": "refresh", "token": self._dice.pick(self._tokens)}

    def _hint(self) -> dict[str, Any]:
        return {"type": "hint", "id": self._dice.pick(HINTS), "text": self._dice.pick(TEXTS)}

    def _transcript(self) -> dict[str, Any]:
        dice = self._dice
        return {
            "type": "transcript", "id": self._id(), "text": dice.pick(TEXTS), "speaker": "a",
            "final": dice.chance(0.5),
        }  # fmt: skip

    def _error(self) -> dict[str, Any]:
        return {"type": "error", "text": self._dice.pick(TEXTS)}

    def _own(self) -> dict[str, Any]:
        return {"type": "x-own", "value": self._dice.pick(VALUES)}

    def _id(self) -> str:
        # Some come again: those are known by their ids.
        return f"id-{self._dice.below(20_000)}"

    # Bad ones

    def _spoiled(self, makers: Sequence[Callable[[], dict[str, Any]]]) -> bytes:
        dice = self._dice
        kind = dice.below(20)
        if kind == 0:
            return self._strange()
        fields = dice.pick(makers)()
        if kind > 14:
            return orjson.dumps(fields)
        if kind < 11:
            self._spoil(fields)
        try:
            data = orjson.dumps(fields)
        except TypeError:
            # A lone surrogate, or a number that is too large.
            return b"{}"
        return self.bytes_spoiled(data, dice.size(4)) if kind > 8 else data

    def _spoil(self, fields: dict[str, Any]) -> None:
        dice = self._dice
        for _ in range(dice.size(4)):
            name = dice.pick(list(fields)) if fields else "type"
            match dice.below(8):
                case 0 | 1 | 2:
                    fields[name] = dice.pick(VALUES)
                case 3:
                    fields.pop(name, None)
                case 4:
                    fields[dice.pick(KEYS)] = dice.pick(VALUES)
                case 5:
                    fields["type"] = dice.pick(TYPES)
                case 6:
                    fields[name] = [fields.get(name)] * dice.size(120)
                case _:
                    fields[name] = {name: fields.get(name)}

    def _strange(self) -> bytes:  # noqa: PLR0911, PLR0912 - a list
        dice = self._dice
        size = dice.size(8000)
        match dice.below(13):
            case 0:
                return b"[" * size
            case 1:
                return b"[" * size + b"]" * size
            case 2:
                return b'{"type":' * (size // 8) + b"1" + b"}" * (size // 8)
            case 3:
                return b'{"type":"ping","n":' + b"9" * size + b"}"
            case 4:
                return b'{"type":"ping","n":1e' + b"9" * dice.size(400) + b"}"
            case 5:
                return b'{"type":"ping","type":"seen","type":"x"}'
            case 6:
                return b'{"type":"\\ud800","id":"\\udc00\\ud800"}'
            case 7:
                return b'{"type":"ping",' + b'"k":1,' * (size // 6) + b'"k":2}'
            case 8:
                return b"".join(
                    b'{"type":"ping"' if not index else b',"k%d":%d' % (index, index)
                    for index in range(size // 12 + 1)
                ) + b"}"  # fmt: skip
            case 9:
                return b"\xef\xbb\xbf" + orjson.dumps(self._ping())
            case 10:
                return orjson.dumps(dice.pick(VALUES))
            case 11:
                return b" " * size + orjson.dumps(self._feedback())
            case _:
                return dice.bytes(size)
