"""What one client of a WebSocket sends from its handshake to its end; pure."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from tests.support.websocket import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame

if TYPE_CHECKING:
    from tests.fuzz.dice import Dice
    from tests.fuzz.messages import Messages

MAX_MESSAGE = 16 * 1024
_MOST_FRAMES = 160
# What goes out with one write.
_PIECE_BYTES = 32 * 1024
_MASKS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x80\x7f\xff", b"\x88\x02\x03\xe8", b"abcd")
_GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
_BAD_CODES = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535)
_NOT_UTF8 = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98", b"a\x80b")


class Script(NamedTuple):
    """What is sent after the handshake.

    Attributes:
        pieces: each is one write; the last brings the end.
        frames: how many they hold, whole or not.
        codes: with which of these codes the relay has to close; None when nobody can say what such
            bytes mean, or when it is not to have the time to.
        is_reset: whether the client vanishes without waiting for anything.
    """

    pieces: list[bytes]
    frames: int
    codes: frozenset[int] | None
    is_reset: bool


class Frames:
    """Throws scripts.

    Args:
        dice: decide.
        messages: what the frames hold.
        is_deflated: whether compression was agreed on.
    """

    def __init__(self, dice: Dice, messages: Messages, *, is_deflated: bool = False) -> None:
        self._dice = dice
        self._messages = messages
        self._is_deflated = is_deflated
        self._frames = 0

    def script(self) -> Script:
        """Return what one connection sends: mostly messages, and an end that is no usual one."""
        dice = self._dice
        self._frames = 0
        data = [self._message() for _ in range(dice.below(_MOST_FRAMES))]
        end, codes, is_reset = self._end()
        self._frames += 1
        pieces = self._in_pieces(data)
        if pieces and dice.chance(0.5):
            pieces[-1] += end
        else:
            pieces.append(end)
        return Script(pieces, self._frames, codes, is_reset)

    def _in_pieces(self, data: list[bytes]) -> list[bytes]:
        pieces, piece, size = [], [], 0
        # Some write each frame alone, most many at once.
        most = _PIECE_BYTES if self._dice.chance(0.9) else 1
        for one in data:
            piece.append(one)
            size += len(one)
            if size >= most:
                pieces.append(b"".join(piece))
                piece, size = [], 0
        pieces.append(b"".join(piece))
        if self._dice.chance(0.1):
            # Boundaries of writes are none of frames.
            whole = b"".join(pieces)
            cuts = sorted(self._dice.below(len(whole) + 1) for _ in range(8))
            pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        return [piece for piece in pieces if piece]

    # What a client may send

    def _message(self) -> bytes:
        dice = self._dice
        self._frames += 1
        kind = dice.below(32)
        if kind == 0:
            return frame(PING, dice.bytes(dice.below(126)), mask=self._mask())
        if kind == 1:
            return frame(PONG, dice.bytes(dice.below(126)), mask=self._mask())
        payload = self._messages.inbound()[:MAX_MESSAGE]
        opcode = TEXT
        try:
            payload.decode()
        except UnicodeDecodeError:
            if kind & 1:
                payload = payload.decode(errors="replace").encode()[:MAX_MESSAGE]
                payload = payload.decode(errors="ignore").encode()
            else:
                opcode = BINARY
        if kind < 5:
            return self._fragmented(opcode, payload)
        if kind == 5:
            return frame(opcode, payload, mask=self._mask(), wide=127)
        if self._is_deflated and kind < 20:
            return frame(opcode, _deflated(payload), mask=self._mask(), reserved=4)
        return frame(opcode, payload, mask=self._mask())

    def _fragmented(self, opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
        """Return a message in several frames, with control frames in between."""
        dice = self._dice
        count = dice.size(12)
        self._frames += count
        cuts = sorted(dice.below(len(payload) + 1) for _ in range(count))
        parts = []
        for index, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(payload)], strict=True)):
            is_last = index == count
            parts.append(
                frame(
                    CONT if index else opcode,
                    payload[begin:end],
                    fin=fin and is_last,
                    mask=self._mask(),
                )
            )
            if not is_last and dice.chance(0.2):
                self._frames += 1
                parts.append(frame(dice.pick((PING, PONG)), b"between", mask=self._mask()))
        return b"".join(parts)

    def _mask(self) -> bytes:
        return self._dice.pick(_MASKS)

    # How it ends

    def _end(self) -> tuple[bytes, frozenset[int] | None, bool]:  # noqa: PLR0911, PLR0912 - a list
        """Return the last bytes, the codes that answer them, and whether to vanish at once."""
        dice = self._dice
        match dice.below(16):
            case 0:
                code = dice.pick(_GOOD_CODES)
                reason = dice.pick((b"", b"bye", "é".encode() * 61, b"x" * 123))
                after = self._message() if dice.chance(0.3) else b""
                return self._close(code, reason) + after, frozenset({code}), False
            case 1:
                # Without a code; the answer has none either.
                return frame(CLOSE, b"", mask=self._mask()), frozenset({1005}), False
            case 2:
                bad = self._close(dice.pick(_BAD_CODES), b"") if dice.chance(0.7) else b""
                return bad or frame(CLOSE, b"\x03"), frozenset({1002}), False
            case 3:
                return self._close(1000, dice.pick(_NOT_UTF8)), frozenset({1007}), False
            case 4:
                reserved = dice.pick((1, 2, 3) if self._is_deflated else range(1, 8))
                return self._framed(TEXT, reserved=reserved), frozenset({1002}), False
            case 5:
                opcode = dice.pick((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))
                return self._framed(opcode), frozenset({1002}), False
            case 6:
                return frame(TEXT, self._messages.good(), mask=None), frozenset({1002}), False
            case 7:
                return self._wrong_control(), frozenset({1002, 1009}), False
            case 8:
                return self._wrong_order(), frozenset({1002}), False
            case 9:
                return self._too_large(), frozenset({1009}), False
            case 10 | 11:
                text = b'{"type":"ping","x":"' + dice.pick(_NOT_UTF8) + b'"}'
                whole = self._fragmented(TEXT, text) if dice.chance(0.5) else frame(TEXT, text)
                return whole, frozenset({1007}), False
            case 12:
                if self._is_deflated:
                    return frame(TEXT, self._spoiled_deflate(), reserved=4), None, False
                return dice.bytes(dice.size(4000)), None, False
            case 13:
                data = b"".join(self._message() for _ in range(dice.size(8)))
                return self._messages.bytes_spoiled(data, dice.size(4)), None, False
            case 14:
                data = self._message()
                return data[: dice.below(len(data))], None, True
            case _:
                announced = dice.pick((1, 125, 126, 65535, 65536, MAX_MESSAGE, 2**31, 2**63))
                return frame(dice.below(16), b"x", announced=announced), None, True

    def _close(self, code: int, reason: bytes) -> bytes:
        return frame(CLOSE, struct.pack("!H", code) + reason[:123], mask=self._mask())

    def _framed(self, opcode: int, *, reserved: int = 0) -> bytes:
        return frame(opcode, self._messages.good(), reserved=reserved, mask=self._mask())

    def _wrong_control(self) -> bytes:
        opcode = self._dice.pick((PING, PONG, CLOSE))
        if self._dice.chance(0.5):
            return frame(opcode, b"\x03\xe8" + b"x" * self._dice.pick((124, 1000, 70_000)))
        return frame(opcode, b"\x03\xe8", fin=False)

    def _wrong_order(self) -> bytes:
        if self._dice.chance(0.5):
            return frame(CONT, self._messages.good())
        begun = self._fragmented(TEXT, self._messages.good(), fin=False)
        return begun + frame(self._dice.pick((TEXT, BINARY)), self._messages.good())

    def _too_large(self) -> bytes:
        dice = self._dice
        match dice.below(3):
            case 0:
                return frame(TEXT, b"x" * (MAX_MESSAGE + dice.size(80_000)))
            case 1:
                announced = dice.pick((MAX_MESSAGE + 1, 65_536, 2**31, 2**32, 2**62))
                return frame(TEXT, b"x" * 100, announced=announced)
            case _:
                return self._fragmented(TEXT, b"x" * (MAX_MESSAGE + 1))

    def _spoiled_deflate(self) -> bytes:
        if self._dice.chance(0.1):
            return _deflated(b"0" * (1024 * 1024))
        return self._messages.bytes_spoiled(_deflated(self._messages.good()), 2)


def _deflated(payload: bytes) -> bytes:
    # Without context: what is said to the relay in its answer does not matter then.
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    packed = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
    return packed.removesuffix(b"\0\0\xff\xff")
