"""Streaming hints in Redis: what is published, what is kept, and how they end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.broker import keys
from relay.broker.broker import Broker
from relay.broker.streaming import Standing, Step, StreamingHints, escaped, utf16_length
from relay.errors import BrokerError, InvalidMessage
from relay.messages import Append, Hint
from relay.snapshot import fold, join_pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from relay.publication import Publication
    from tests.support.redis import RedisServer

_LEASE_S = 0.2


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[Broker]:
    """A broker whose logs keep a hundred messages."""
    async with Broker(redis_url, log_messages=100, log_ttl_s=60, dedupe_s=60) as broker:
        yield broker


@pytest.fixture
def hints(broker: Broker) -> StreamingHints:
    """Streaming hints whose leases are short."""
    return StreamingHints(broker, lease_s=_LEASE_S)


class _Producer:
    """A producer's side of one streaming hint."""

    def __init__(self, hints: StreamingHints, session: str, hint_id: str = "h") -> None:
        self._hints = hints
        self._session = session
        self.id = hint_id
        self.text = ""

    async def open(self, text: str = "", **fields: Any) -> Standing:
        hint = Hint(id=self.id, text=text, status="streaming", **fields)
        self.text = text
        return (await self._hints.open(self._session, hint)).standing

    async def add(self, text: str, status: Any = None) -> Standing:
        append = Append(id=self.id, at=utf16_length(self.text), text=text, status=status)
        self.text += text
        return (await self._hints.append(self._session, append)).standing


@pytest.fixture
def producer(hints: StreamingHints, session_id: str) -> _Producer:
    """The producer of a hint "h"."""
    return _Producer(hints, session_id)


def _messages(publications: Sequence[Publication]) -> list[dict[str, Any]]:
    return [json.loads(publication.payload) for publication in publications]


async def test_a_hint_grows(broker: Broker, producer: _Producer, session_id: str) -> None:
    """The log has the hint and its pieces, each joined on to the one before."""
    await producer.open(priority="high")
    await producer.add("Let her ")
    await producer.add("finish…")
    opened, first, second = _messages((await broker.read(session_id)).publications)
    assert (opened["text"], opened["status"], opened["priority"]) == ("", "streaming", "high")
    assert (first["at"], first["text"]) == (0, "Let her ")
    assert (second["at"], second["text"]) == (8, "finish…")


@pytest.mark.parametrize("status", ["complete", "cancelled", "interrupted"])
async def test_a_finished_hint_is_one_entry(
    broker: Broker, producer: _Producer, session_id: str, status: str
) -> None:
    """When it ends, its pieces leave the log, and the whole hint stands there with all its fields."""
    await producer.open(priority="high", meta={"scores": [0.1, 1e300], "empty": [], "é": None})
    for word in ('quotes "', "back\\slash", "\n\t\x00", "emoji 🎭", "</script>"):
        await producer.add(word)
    assert await producer.add("end", status) == status
    (hint,) = _messages((await broker.read(session_id)).publications)
    head = (await broker.read(session_id)).head
    assert head is not None
    assert hint == {
        "position": f"{head.epoch}-7", "type": "hint", "id": "h", "timestamp": hint["timestamp"],
        "priority": "high", "meta": {"scores": [0.1, 1e300], "empty": [], "é": None},
        "status": status, "began": f"{head.epoch}-1", "text": producer.text,
    }  # fmt: skip


async def test_a_long_hint_pushes_nothing_out(
    broker: Broker, producer: _Producer, session_id: str
) -> None:
    """A hint of more pieces than the log keeps leaves what was there before it."""
    for n in range(50):
        await broker.publish(session_id, b'{"type":"hint","id":"before"}', str(n))
    await producer.open()
    most = 0
    for n in range(600):
        await producer.add(f"token{n} ")
        if n % 50 == 0:
            most = max(most, len((await broker.read(session_id)).publications))
    log = await broker.read(session_id)
    assert most <= 50 + 27
    assert len(log.publications) <= 50 + 27
    (hint,) = (m for m in _messages(fold(log.publications)) if m["id"] == "h")
    assert hint["text"] == producer.text
    await producer.add("", "complete")
    log = await broker.read(session_id)
    assert len(log.publications) == 51
    assert log.floor is None


async def test_text_so_far_is_never_trimmed_away(
    broker: Broker, producer: _Producer, session_id: str
) -> None:
    """While others push everything out, the next piece brings the text so far with it."""
    await producer.open("beginning")
    for n in range(400):
        await broker.publish(session_id, b'{"type":"transcript","text":"x"}', str(n))
    await producer.add(" end")
    messages = _messages((await broker.read(session_id)).publications)
    assert [m["text"] for m in messages if m["type"] == "hint"] == ["beginning end"]


async def test_nothing_counts_as_lost_when_pieces_leave(
    broker: Broker, producer: _Producer, session_id: str
) -> None:
    """Who had a position among pieces that are gone gets the whole hint, and is told of no loss."""
    await producer.open()
    for n in range(100):
        await producer.add(str(n))
    head = (await broker.read(session_id)).head
    assert head is not None
    since = head._replace(offset=3)
    log = await broker.read(session_id, since)
    assert log.reaches_back_to(since)
    assert _messages(join_pieces(log.publications))[0]["text"] == producer.text


async def test_a_repeated_piece_changes_nothing(
    broker: Broker, hints: StreamingHints, producer: _Producer, session_id: str
) -> None:
    """A producer that does not know whether a piece was taken sends it again."""
    await producer.open()
    await producer.open()
    append = Append(id="h", at=0, text="once")
    first = await hints.append(session_id, append)
    again = await hints.append(session_id, append)
    assert (first.new, again.new) == (True, False)
    assert again.position == first.position
    assert len((await broker.read(session_id)).publications) == 2


async def test_a_repeated_end_changes_nothing(
    hints: StreamingHints, producer: _Producer, session_id: str
) -> None:
    """The end that was taken is answered again with its position."""
    await producer.open()
    last = Append(id="h", at=0, text="all", status="complete")
    first = await hints.append(session_id, last)
    again = await hints.append(session_id, last)
    assert again == first._replace(new=False)
    assert again.standing is Standing.COMPLETE


@pytest.mark.parametrize("lost_key", [keys.streaming_hint, keys.streaming_text])
async def test_what_redis_has_lost_is_opened_anew(
    broker: Broker,
    hints: StreamingHints,
    producer: _Producer,
    session_id: str,
    lost_key: Callable[[str, str], str],
) -> None:
    """A producer whose hint was evicted learns it, and publishes all the text so far."""
    await producer.open()
    await producer.add("some text ")
    await broker.redis.delete(lost_key(session_id, "h"))
    lost = await hints.append(session_id, Append(id="h", at=10, text="more"))
    assert (lost.position, lost.standing) == (None, Standing.LOST)
    hint = Hint(id="h", text="some text more", status="streaming")
    step = await hints.open(session_id, hint, anew=True)
    assert (step.new, step.standing) == (True, Standing.STREAMING)
    assert (await hints.open(session_id, hint, anew=True)) == step._replace(new=False)
    await hints.append(session_id, Append(id="h", at=14, text="!", status="complete"))
    finished = _messages(fold((await broker.read(session_id)).publications))
    assert finished[-1]["text"] == "some text more!"


async def test_a_piece_that_was_lost_in_a_failover_is_noticed(
    hints: StreamingHints, producer: _Producer, session_id: str
) -> None:
    """A piece that does not join on to what Redis has is refused as lost, never put in its place."""
    await producer.open()
    await producer.add("abc")
    step = await hints.append(session_id, Append(id="h", at=5, text="later"))
    assert (step.new, step.standing) == (False, Standing.LOST)


async def test_a_cancel_reaches_the_producer(
    hints: StreamingHints, producer: _Producer, session_id: str
) -> None:
    """From then on each step and each sign of life is answered with it, before the first token too."""
    await producer.open()
    assert await hints.request_cancel(session_id, "h") is Standing.CANCELLING
    assert await producer.open() is Standing.CANCELLING
    assert await hints.renew(session_id, "h") is Standing.CANCELLING
    assert await producer.add("text") is Standing.CANCELLING
    assert await producer.add("", "cancelled") is Standing.CANCELLED
    assert await hints.renew(session_id, "h") is Standing.CANCELLED


async def test_cancelling_what_is_not_there(hints: StreamingHints, session_id: str) -> None:
    """Nothing is kept about a hint that does not stream."""
    assert await hints.request_cancel(session_id, "nothing") is Standing.LOST
    assert await hints.renew(session_id, "nothing") is Standing.LOST


async def _interrupted(hints: StreamingHints, session: str) -> list[str]:
    """Let several relays look at once, and return what they ended in this session."""
    ended = await asyncio.gather(*(hints.interrupt_abandoned() for _ in range(5)))
    return [hint_id for some in ended for of, hint_id in some if of == session]


async def test_a_dead_producer_s_hint_is_interrupted_once(
    broker: Broker, hints: StreamingHints, producer: _Producer, session_id: str
) -> None:
    """Of many relays that look after it, exactly one ends it."""
    await producer.open()
    await producer.add("half a sen")
    await asyncio.sleep(_LEASE_S + 0.05)
    assert await _interrupted(hints, session_id) == ["h"]
    (hint,) = _messages((await broker.read(session_id)).publications)
    assert (hint["text"], hint["status"]) == ("half a sen", "interrupted")
    assert await producer.add("tence") is Standing.INTERRUPTED
    assert len((await broker.read(session_id)).publications) == 1


async def test_a_dead_producer_s_evicted_text_is_not_cut_short(
    broker: Broker, hints: StreamingHints, producer: _Producer, session_id: str
) -> None:
    """Where Redis has thrown the text away, the pieces that the log has stay there."""
    await producer.open()
    await producer.add("half a ")
    await producer.add("sen")
    await broker.redis.delete(keys.streaming_text(session_id, "h"))
    await asyncio.sleep(_LEASE_S + 0.05)
    assert await _interrupted(hints, session_id) == ["h"]
    (hint,) = _messages(fold((await broker.read(session_id)).publications))
    assert (hint["text"], hint["status"]) == ("half a sen", "interrupted")


async def test_a_dead_producer_s_evicted_text_may_be_empty(
    broker: Broker, hints: StreamingHints, producer: _Producer, session_id: str
) -> None:
    """A hint that had no text yet ends, too, when Redis has thrown its empty text away."""
    await producer.open()
    await broker.redis.delete(keys.streaming_text(session_id, "h"))
    await asyncio.sleep(_LEASE_S + 0.05)
    assert await _interrupted(hints, session_id) == ["h"]
    (hint,) = _messages(fold((await broker.read(session_id)).publications))
    assert (hint["text"], hint["status"]) == ("", "interrupted")


async def test_a_hint_that_can_t_be_ended_keeps_no_other_going(
    broker: Broker, hints: StreamingHints, session_id: str
) -> None:
    """Where Redis refuses to end one hint, those of other sessions are ended, and it is said."""
    sessions = [f"{session_id}-{n}" for n in range(3)]
    for session in sessions:
        await _Producer(hints, session).open()
    await broker.redis.delete(keys.log(sessions[0]))
    await broker.redis.set(keys.log(sessions[0]), "somebody else's", px=60_000)
    await asyncio.sleep(_LEASE_S + 0.05)
    ended = await hints.interrupt_abandoned()
    assert {(session, "h") for session in sessions[1:]} <= set(ended)
    await broker.redis.zadd(keys.LEASES, {f"{sessions[0]} h": 1})
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        await hints.interrupt_abandoned()
    await broker.redis.zrem(keys.LEASES, f"{sessions[0]} h")


async def test_the_end_of_an_interrupted_hint_goes_out_live(
    broker: Broker, hints: StreamingHints, session_id: str, redis_url: str
) -> None:
    """Whoever follows it live gets an empty last piece with the status."""
    from producers.listener import listening

    producer = _Producer(hints, session_id, 'id "quoted"')
    await producer.open("héllo 🎭")
    async with listening(redis_url, session_id) as listener:
        messages = listener.messages()
        greeting = json.loads(await anext(messages))
        assert greeting["snapshot"] == 1
        await anext(messages)
        await asyncio.sleep(_LEASE_S)
        assert await _interrupted(hints, session_id) == ['id "quoted"']
        last = json.loads(await anext(messages))
        await messages.aclose()
    assert last == {
        "position": last["position"], "type": "append", "id": 'id "quoted"', "at": 8, "text": "",
        "status": "interrupted",
    }  # fmt: skip


@pytest.mark.alone
async def test_a_living_producer_s_hint_is_left_alone(
    hints: StreamingHints, producer: _Producer, session_id: str
) -> None:
    """A hint whose producer gives signs of life, or text, is not ended."""
    await producer.open()
    for _ in range(5):
        await asyncio.sleep(_LEASE_S / 2)
        assert await hints.renew(session_id, "h") is Standing.STREAMING
    await asyncio.sleep(_LEASE_S / 2)
    await producer.add("text")
    await asyncio.sleep(_LEASE_S / 2)
    assert await _interrupted(hints, session_id) == []


async def test_leases_of_finished_hints_are_forgotten(
    broker: Broker, hints: StreamingHints, producer: _Producer, session_id: str
) -> None:
    """A finished hint, or one that was opened and never seen again, leaves no lease behind."""
    await producer.open()
    await producer.add("", "complete")
    await asyncio.sleep(_LEASE_S + 0.05)
    await hints.interrupt_abandoned()
    left = await broker.redis.zscore(keys.LEASES, f"{session_id} h")
    assert left is None


async def test_a_lease_that_is_taken_anew_is_not_forgotten(
    broker: Broker, producer: _Producer, session_id: str
) -> None:
    """A producer that opens its lost hint anew just when a relay finds it lost keeps its lease."""

    class Relay(StreamingHints):
        async def _publish(self, session: str, hint_id: str, message: bytes, *part: Any) -> Step:
            step = await super()._publish(session, hint_id, message, *part)
            if step.standing is Standing.LOST and session == session_id:
                await _Producer(StreamingHints(broker), session).open("anew")
            return step

    await producer.open()
    await broker.redis.delete(keys.streaming_hint(session_id, "h"))
    await asyncio.sleep(_LEASE_S + 0.05)
    await Relay(broker).interrupt_abandoned()
    assert await broker.redis.zscore(keys.LEASES, f"{session_id} h") is not None


def test_half_a_surrogate_pair_is_refused() -> None:
    """Text that UTF-8 can't say is refused in one sentence."""
    with pytest.raises(InvalidMessage, match="half a surrogate pair"):
        escaped("\ud83c")


@given(st.text())
def test_lengths_are_javascript_s(value: str) -> None:
    """A character beyond the Basic Multilingual Plane counts twice."""
    assert utf16_length(value) == sum(2 if ord(c) > 0xFFFF else 1 for c in value)


@settings(
    max_examples=25, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from("ab"), st.text(max_size=4)),
            st.tuples(st.just("other"), st.just("")),
        ),
        max_size=60,
    ),
    since=st.integers(0, 70),
)
def test_the_log_always_tells_the_whole_text(
    redis_server: RedisServer, steps: list[tuple[str, str]], since: int
) -> None:
    """However hints grow beside each other, from any position on, the log completes their texts."""
    import secrets

    session = f"test-{secrets.token_hex(8)}"

    async def run() -> None:
        async with Broker(redis_server.url, log_messages=16) as broker:
            hints = StreamingHints(broker)
            producers = {name: _Producer(hints, session, name) for name in "ab"}
            texts = {0: {"a": "", "b": ""}}
            for producer in producers.values():
                await producer.open()
            for who, text in steps:
                if who == "other":
                    await broker.publish(session, b'{"type":"x"}', secrets.token_hex(4))
                elif text:
                    await producers[who].add(text)
                head = (await broker.read(session)).head
                assert head is not None
                texts[head.offset] = {name: one.text for name, one in producers.items()}
            whole = await broker.read(session)
            assert whole.head is not None
            for at, had in texts.items():
                if at < min(since, 2) or at > whole.head.offset:
                    continue
                position = whole.head._replace(offset=at) if at else None
                log = await broker.read(session, position)
                if position and not log.reaches_back_to(position):
                    continue
                after = _after(had, _messages(join_pieces(log.publications)))
                assert after == {name: one.text for name, one in producers.items()}

    asyncio.run(run())


def _after(had: dict[str, str], messages: list[dict[str, Any]]) -> dict[str, str]:
    """Apply messages to the texts that somebody had, by the rules of PROTOCOL.md."""
    texts = dict(had)
    for message in messages:
        if message["type"] == "hint":
            texts[message["id"]] = message["text"]
        elif message["type"] == "append":
            units = texts[message["id"]].encode("utf-16-le")
            assert message["at"] <= len(units) // 2
            kept = units[: 2 * message["at"]].decode("utf-16-le")
            texts[message["id"]] = kept + message["text"]
    return texts
