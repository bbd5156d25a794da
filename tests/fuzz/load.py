"""Sends what was thrown to a relay, and reads what it says; runs in a process of its own.

``python -m tests.fuzz.load <kind> <port> <count> <seed> <flags as JSON>`` prints lines of JSON:
``{"done": …}`` now and then, at last what was seen. A complaint begins with the number of its
connection: with ``first`` at that number and a ``count`` of 1 it is made again alone.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
from websockets.utils import accept_key

from relay.close_codes import CloseCode
from tests.fuzz.answers import ServerFrames, Wrong, read_answer
from tests.fuzz.dice import Dice
from tests.fuzz.frames import Frames
from tests.fuzz.handshakes import KEY, Handshakes
from tests.fuzz.messages import Messages
from tests.fuzz.peer import Peer
from tests.fuzz.requests import Requests
from tests.fuzz.words import HINTS, SESSIONS
from tests.support.tokens import OTHER_SECRET, claims, signed, token, unsigned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.fuzz.answers import Answer

_CONNECTIONS = 24
# How long the relay may take for what it has to say, on a machine that is busy with us.
_PATIENCE_S = 30.0
# How long it is listened to when it need not say anything.
_PAUSE_S = 0.02
_MOST_REQUESTS = 24
_MOST_COMPLAINTS = 20
_PROGRESS_S = 0.25
_HINTS_EVERY_S = 0.1
# It may always be the relay that ends a connection, for these reasons.
_SENT_AWAY = frozenset({CloseCode.LIMIT_REACHED, CloseCode.UNAUTHORIZED, CloseCode.BAD_REQUEST})


def make_tokens() -> list[str]:
    """Return tokens for everybody's requests: most are good."""
    later = int(time.time()) + 3600
    facilitator = token(exp=later, sub="maria")
    return [
        facilitator, facilitator, token(exp=later), token(exp=later, sub="ann", role="agent"),
        token(exp=later, role="agent"), token(exp=later, role="observer"),
        token(["fuzz-1*", "fuzz-2"], exp=later, sub="bo"), token([], exp=later), token("", exp=later),
        token(exp=1), token(exp=later, nbf=later), token(exp=later, secret=OTHER_SECRET),
        token(exp=later, sub="x" * 129), token(exp=later, sub="a\nb"), token(exp=later, sub=5),
        token(exp=later, role="admin"), token(exp="x"), token(exp=1e300), token(exp=later, sessions=5),
        token(exp=later, jti={"a": 1}), signed({"alg": "HS256"}, b"[]"), signed(b"{}", claims()),
        signed({"alg": "HS256", "crit": ["x"]}, claims()), signed({"alg": "HS256", "kid": 5}, claims()),
        signed({"alg": "HS256"}, b'{"exp":' + b"9" * 5000 + b"}"), signed({"alg": 5}, claims()),
        signed({"alg": "HS256"}, b"[" * 3000), unsigned({"alg": "none"}, claims()),
        facilitator[:-3], facilitator[3:], facilitator + "x", facilitator.replace(".", ".."),
        facilitator.swapcase(), "", ".", "..", "...", "a.b.c", "x" * 3000, "é.é.é", "\0",
    ]  # fmt: skip


class Load:
    """Runs connections, several at a time, until enough has been sent.

    Args:
        port: the relay's.
        seed: what the dice are made of.
        count: how much is to be sent: frames, or requests.
        has_tokens: whether the relay asks for them.
        is_deflated: whether to agree on compression, now and then.
        first: the number of the first connection.
    """

    def __init__(
        self,
        port: int,
        seed: str,
        count: int,
        *,
        has_tokens: bool = False,
        is_deflated: bool = False,
        first: int = 0,
    ) -> None:
        self.done = 0
        self.seen: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.is_stopped = False
        self._port = port
        self._seed = seed
        self._count = count
        self._is_deflated = is_deflated
        self._tokens = make_tokens() if has_tokens else []
        self._next = first

    async def run(self, kind: str) -> None:
        """Send frames, handshakes or requests."""
        one: Callable[[Dice], Awaitable[None]] = {
            "frames": self._frames, "handshakes": self._handshake, "requests": self._requests
        }[kind]  # fmt: skip
        publishing = asyncio.create_task(self._publish_hints())
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(_CONNECTIONS, self._count)):
                    tasks.create_task(self._work(one))
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)

    async def _work(self, one: Callable[[Dice], Awaitable[None]]) -> None:
        while self.done < self._count and not self.is_stopped:
            number, self._next = self._next, self._next + 1
            try:
                await one(Dice(self._seed, number))
            except (Wrong, OSError) as error:
                self.complaints.append(f"{number}: {type(error).__name__}: {error}")
            if len(self.complaints) >= _MOST_COMPLAINTS:
                return
            self.seen["connections"] += 1

    # Each is one connection

    async def _frames(self, dice: Dice) -> None:
        is_deflated = self._is_deflated and dice.chance(0.5)
        messages = Messages(dice, self._tokens)
        handshake = Handshakes(dice, messages, self._tokens).good(is_deflated=is_deflated)
        script = Frames(dice, messages, is_deflated=is_deflated).script()
        with await Peer.connect(self._port) as peer:
            pieces = script.pieces
            if pieces and dice.chance(0.1):
                # In the hurry no answer is waited for.
                handshake, pieces = handshake + pieces[0], pieces[1:]
            await peer.send(handshake)
            await self._opened(peer)
            frames = ServerFrames(is_deflated=is_deflated)
            peer.read_with(frames.feed)
            for index, piece in enumerate(pieces, 1):
                if index == len(pieces) and dice.chance(0.5):
                    # Else what came before is often never looked at.
                    await peer.more(_PAUSE_S)
                await peer.send(piece)
                peer.check()
                if frames.code is not None:
                    break
            self.done += script.frames
            if script.is_reset:
                self.seen["reset by us"] += 1
                return
            await self._end(peer, frames, script.codes)

    async def _end(
        self,
        peer: Peer,
        frames: ServerFrames,
        codes: frozenset[int] | None,
        *,
        is_cut: bool = False,
    ) -> None:
        """Wait for the close frame that is due, and then for the connection's end."""
        patience_s = _PAUSE_S if codes is None else _PATIENCE_S
        while frames.code is None and not peer.is_over:
            if not await peer.more(patience_s):
                break
        peer.check()
        code = frames.code
        self.seen["messages read"] += frames.said
        self.seen[f"closed {code or 'by us'}"] += 1
        if codes is not None and code not in codes and code not in _SENT_AWAY:
            raise Wrong(f"closed with {code}, where {sorted(codes)} is right")
        if code == CloseCode.INTERNAL_ERROR and codes != frozenset({code}) and not is_cut:
            # Not that of the client's own close frame, sent back.
            raise Wrong("closed with 1011")

    async def _opened(self, peer: Peer) -> None:
        answer = await self._answer(peer, _PATIENCE_S)
        if answer is None:
            raise Wrong("no answer to a handshake")
        if answer.status != 101:
            raise Wrong(
                f"a good handshake was answered with {answer.status}: {answer.body[:200]!r}"
            )
        _check_opened(answer)

    async def _handshake(self, dice: Dice) -> None:
        messages = Messages(dice, self._tokens)
        data = Handshakes(dice, messages, self._tokens).any()
        self.done += 1
        with await Peer.connect(self._port) as peer:
            cut = dice.below(len(data)) if dice.chance(0.1) else 0
            for part in (data[:cut], data[cut:]) if cut else (data,):
                await peer.send(part)
                if cut:
                    await asyncio.sleep(0)
            if dice.chance(0.1):
                return
            answer = await self._answer(peer, 2 * _PAUSE_S, is_head=data.startswith(b"HEAD"))
            self.seen[f"status {'none' if answer is None else answer.status}"] += 1
            if answer is None or answer.status != 101:
                return
            _check_opened(answer)
            extensions = answer.headers.get("sec-websocket-extensions", "")
            frames = ServerFrames(is_deflated="permessage-deflate" in extensions)
            peer.read_with(frames.feed)
            for piece in Frames(dice, messages).script().pieces[:2]:
                await peer.send(piece)
            await self._end(peer, frames, None, is_cut=True)

    async def _requests(self, dice: Dice) -> None:
        messages = Messages(dice, self._tokens)
        requests = Requests(dice, messages, self._tokens)
        with await Peer.connect(self._port) as peer:
            if dice.chance(0.7):
                self.done += 1
                await self._malformed(peer, dice, requests)
            elif dice.chance(0.15):
                self.done += 1
                await peer.send(requests.events())
                answer = await self._answer(peer, _PATIENCE_S)
                if answer is None:
                    raise Wrong("no answer to a request for events")
                self.seen[f"status {answer.status}"] += 1
            else:
                asked = requests.asked(_MOST_REQUESTS)
                await peer.send(asked.data)
                for number, method in enumerate(asked.methods):
                    self.done += 1
                    answer = await self._answer(peer, _PATIENCE_S, is_head=method == "HEAD")
                    if answer is None:
                        raise Wrong(f"no answer to request {number} of {len(asked.methods)}")
                    self.seen[f"status {answer.status}"] += 1
                    if answer.is_last:
                        break

    async def _malformed(self, peer: Peer, dice: Dice, requests: Requests) -> None:
        await peer.send(requests.malformed())
        if dice.chance(0.1):
            return
        is_answered = False
        while (answer := await self._answer(peer, _PAUSE_S)) is not None:
            is_answered = True
            self.seen[f"status {answer.status}"] += 1
            if answer.status == 101 or not answer.is_whole or answer.is_last:
                break
        self.seen["status none"] += not is_answered

    # Inside

    async def _answer(
        self, peer: Peer, patience_s: float, *, is_head: bool = False
    ) -> Answer | None:
        """Read the next answer; None when none comes. Of an endless one only the beginning is read."""
        while True:
            if peer.data and (found := read_answer(peer.data, is_head=is_head)) is not None:
                answer, size = found
                is_endless = "text/event-stream" in answer.headers.get("content-type", "")
                if answer.is_whole or (is_endless and answer.body):
                    peer.data = peer.data[size:]
                    if answer.status == 100:
                        continue
                    return answer
            if peer.is_over:
                if peer.data:
                    raise Wrong(f"closed in the middle of an answer: {peer.data[:200]!r}")
                return None
            if not await peer.more(patience_s):
                return None

    async def _publish_hints(self) -> None:
        """Let the sessions have the hints that messages name; logs are short."""
        hints = orjson.dumps([{"type": "hint", "id": one, "text": one} for one in HINTS])
        agent = token(exp=int(time.time()) + 3600, role="agent")
        with await Peer.connect(self._port) as peer:
            peer.read_with(lambda _: None)
            number = 0
            while not peer.is_over:
                session = SESSIONS[number % len(SESSIONS)]
                await peer.send(
                    f"POST /sessions/{session}/messages HTTP/1.1\r\nHost: localhost\r\n"
                    f"Authorization: Bearer {agent}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(hints)}\r\n\r\n".encode()
                    + hints
                )
                number += 1
                # All at once in the beginning.
                await asyncio.sleep(_HINTS_EVERY_S if number >= len(SESSIONS) else 0)


def _check_opened(answer: Answer) -> None:
    if answer.headers.get("sec-websocket-accept") not in (accept_key(KEY), None) and not (
        answer.headers.get("upgrade", "").lower() == "websocket"
    ):
        raise Wrong(f"a handshake's answer: {answer.headers}")


async def _main() -> None:
    kind, port, count, seed, options = sys.argv[1:]
    more: dict[str, Any] = json.loads(options)
    load = Load(int(port), seed, int(count), **more)

    def stop() -> None:
        load.is_stopped = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)

    async def tell() -> None:
        while True:
            print(json.dumps({"done": load.done}), flush=True)
            await asyncio.sleep(_PROGRESS_S)

    telling = asyncio.create_task(tell())
    try:
        await load.run(kind)
    finally:
        telling.cancel()
    print(
        json.dumps({"done": load.done, "seen": load.seen, "complaints": load.complaints}),
        flush=True,
    )


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except KeyboardInterrupt:
        sys.exit(130)
