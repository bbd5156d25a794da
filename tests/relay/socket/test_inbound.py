"""What a client sends, in any pieces and however wrong; and what is relied on in the library."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import SEND_EOF, SERVER, Protocol, State

from relay.socket.inbound import Ended, Inbound
from tests.support.websocket import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = 70_000
"""Enough for all three forms of a frame's length."""

Message = str | bytes


def _feed(inbound: Inbound, chunks: Iterable[bytes]) -> list[Message | Ended]:
    return [message for chunk in chunks for message in inbound.receive(chunk)]


def _split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in itertools.pairwise(borders)]


# What can be sent


class Sent(NamedTuple):
    """A message in its frames, with control frames between them."""

    message: Message
    frames: tuple[bytes, ...]
    pings: tuple[bytes, ...]


_payloads = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=40),
    st.sampled_from([125, 126, 127, 300, 65535, 65536]).map(lambda size: "x" * size),
)
_masks = st.binary(min_size=4, max_size=4)
_controls = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))


@st.composite
def _messages(draw: st.DrawFn) -> Sent:
    message = draw(_payloads)
    data = message.encode() if isinstance(message, str) else message
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=3))
    borders = [0, *sorted(cuts), len(data)]
    parts = [data[begin:end] for begin, end in itertools.pairwise(borders)]
    frames, pings = [], []
    for index, part in enumerate(parts):
        for opcode, payload in draw(st.lists(_controls, max_size=2)):
            frames.append(frame(opcode, payload, mask=draw(_masks)))
            pings += [payload] if opcode is PING else []
        kind = CONT if index else TEXT if isinstance(message, str) else BINARY
        frames.append(frame(kind, part, fin=index == len(parts) - 1, mask=draw(_masks)))
    return Sent(message, tuple(frames), tuple(pings))


_sequences = st.lists(_messages(), min_size=1, max_size=4)
_cuts = st.lists(st.integers(0, 1 << 20), max_size=12)


def _bytes_of(sequence: list[Sent]) -> bytes:
    return b"".join(itertools.chain.from_iterable(sent.frames for sent in sequence))


def _pongs(payloads: Iterable[bytes]) -> bytes:
    return b"".join(Frame(Opcode.PONG, payload).serialize(mask=False) for payload in payloads)


# Whole messages


@settings(deadline=None)
@given(_sequences, _cuts)
def test_any_pieces_make_the_same_messages(sequence: list[Sent], cuts: list[int]) -> None:
    """Valid frames give the same messages and pongs wherever the network cuts them."""
    inbound = Inbound(MAX_BYTES)
    assert _feed(inbound, _split(_bytes_of(sequence), cuts)) == [sent.message for sent in sequence]
    assert inbound.output() == _pongs(
        itertools.chain.from_iterable(sent.pings for sent in sequence)
    )
    assert inbound.is_at_rest


@settings(deadline=None, max_examples=30)
@given(_messages())
def test_at_rest_only_between_messages(sent: Sent) -> None:
    """After each single byte but the last of a message, nobody else may be served.

    Control frames of the kind that stand before the first fragment end at rest, too.
    """
    inbound = Inbound(MAX_BYTES)
    data = _bytes_of([sent])
    if len(data) > 2000:
        data = data[:2000]
    rests = set()
    for position in range(len(data)):
        list(inbound.receive(data[position : position + 1]))
        if inbound.is_at_rest:
            rests.add(position + 1)
    borders = set(itertools.accumulate(len(one) for one in sent.frames))
    assert rests <= borders, "at rest in the middle of a frame"
    first_fragment = next(i for i, one in enumerate(sent.frames) if one[0] & 0x0F < 8)
    lengths = list(itertools.accumulate(len(one) for one in sent.frames))
    expected = {*lengths[:first_fragment], lengths[-1]}
    assert rests == {position for position in expected if position <= len(data)}


@pytest.mark.parametrize("wide", [126, 127])
def test_a_length_in_too_long_a_form(wide: int) -> None:
    """A length that is longer written than needed is read rightly, in any pieces."""
    data = frame(TEXT, b"hello", wide=wide)
    for size in range(1, len(data) + 1):
        inbound = Inbound(MAX_BYTES)
        pieces = [data[begin : begin + size] for begin in range(0, len(data), size)] * 2
        assert _feed(inbound, pieces) == ["hello", "hello"]


def test_text_cut_within_a_letter() -> None:
    """Fragments may cut a letter in two; the message has it whole (RFC 6455 section 5.6)."""
    one, two = frame(TEXT, b"\xe2\x82", fin=False), frame(CONT, b"\xac")
    assert _feed(Inbound(MAX_BYTES), [one, two]) == ["€"]


def test_empty_fragments() -> None:
    """Fragments may be empty; any number of them costs nothing."""
    inbound = Inbound(1000)
    flood = frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 20_000
    assert _feed(inbound, [flood]) == []
    assert inbound._fragments is not None
    assert len(inbound._fragments[1]) <= 1, "each empty fragment is kept"
    assert _feed(inbound, [frame(CONT, b"end")]) == ["end"]


# One parser for all


class Peer:
    """One of the clients that share a parser, by the rule of ``Connection``."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._own: Inbound | None = None
        self.messages: list[Message | Ended] = []
        self.output = b""

    @property
    def has_its_own(self) -> bool:
        return self._own is not None

    def receive(self, data: bytes) -> None:
        """Do as ``Connection.data_received`` and ``Connection._keep_parser``."""
        inbound = self._own or self._sharing.inbound
        self.messages += inbound.receive(data)
        if inbound.is_at_rest:
            self._own = None
        elif self._own is None:
            self._own = inbound
            self._sharing.inbound = Inbound(MAX_BYTES)
        self.output += inbound.output()


class Sharing:
    """Stands for the worker."""

    def __init__(self) -> None:
        self.inbound = Inbound(MAX_BYTES)


@settings(deadline=None)
@given(
    st.tuples(_sequences, _sequences), st.tuples(_cuts, _cuts), st.randoms(use_true_random=False)
)
def test_two_clients_share_a_parser(
    sequences: tuple[list[Sent], list[Sent]], cuts: tuple[list[int], list[int]], random: object
) -> None:
    """Pieces of two clients in any order through one shared parser never mix."""
    sharing = Sharing()
    peers = [Peer(sharing), Peer(sharing)]
    todo = [_split(_bytes_of(sequence), cut) for sequence, cut in zip(sequences, cuts, strict=True)]
    order = [0] * len(todo[0]) + [1] * len(todo[1])
    random.shuffle(order)  # type: ignore[attr-defined]
    for which in order:
        peers[which].receive(todo[which].pop(0))
    for peer, sequence in zip(peers, sequences, strict=True):
        assert peer.messages == [sent.message for sent in sequence]
        pings = itertools.chain.from_iterable(sent.pings for sent in sequence)
        assert peer.output == _pongs(pings)
        assert not peer.has_its_own, "between two messages it holds no parser"
    assert sharing.inbound.is_at_rest


def test_byte_by_byte_beside_another() -> None:
    """A client that trickles, byte by byte, mixes with nobody's whole messages."""
    sharing = Sharing()
    slow, quick = Peer(sharing), Peer(sharing)
    for byte in frame(TEXT, b'{"type":"ping"}'):
        slow.receive(bytes((byte,)))
        quick.receive(frame(TEXT, b"quick"))
    assert slow.messages == ['{"type":"ping"}']
    assert set(quick.messages) == {"quick"}
    assert not slow.has_its_own


def test_a_failure_stays_with_its_client() -> None:
    """Who broke the protocol keeps the broken parser; others go on with a new one."""
    sharing = Sharing()
    bad, good = Peer(sharing), Peer(sharing)
    bad.receive(frame(3))
    bad.receive(frame(TEXT, b"too late"))
    good.receive(frame(TEXT, b"fine"))
    assert bad.has_its_own
    assert set(bad.messages) == {Ended.FAILED}
    assert good.messages == ["fine"]


def test_a_close_stays_with_its_client() -> None:
    """Who closes keeps the parser; others go on with a new one."""
    sharing = Sharing()
    leaver, other = Peer(sharing), Peer(sharing)
    leaver.receive(close_frame())
    other.receive(frame(TEXT, b"fine"))
    assert leaver.messages == [Ended.CLOSED]
    assert leaver.has_its_own
    assert other.messages == ["fine"]


# Errors

_TOO_LARGE = MAX_BYTES + 1
_ERRORS = {
    "unmasked": (1002, frame(TEXT, b"hello", mask=None)),
    "unmasked control": (1002, frame(PING, b"", mask=None)),
    **{f"reserved bits {bits:03b}": (1002, frame(TEXT, b"x", reserved=bits)) for bits in range(1, 8)},
    "reserved bits of a control": (1002, frame(PING, b"", reserved=4)),
    **{f"reserved opcode {code:x}": (1002, frame(code)) for code in (*range(3, 8), *range(11, 16))},
    "continuation of nothing": (1002, frame(CONT, b"x")),
    "text within a message": (1002, frame(TEXT, b"a", fin=False) + frame(TEXT, b"b")),
    "binary within a message": (1002, frame(TEXT, b"a", fin=False) + frame(BINARY, b"b")),
    "second beginning": (1002, frame(TEXT, b"a", fin=False) + frame(TEXT, b"b", fin=False)),
    "fragmented ping": (1002, frame(PING, b"x", fin=False)),
    "fragmented pong": (1002, frame(PONG, b"x", fin=False)),
    "fragmented close": (1002, frame(CLOSE, b"", fin=False)),
    "ping of 126 bytes": (1002, frame(PING, b"x" * 126)),
    "pong of 126 bytes": (1002, frame(PONG, b"x" * 126)),
    "close of 126 bytes": (1002, frame(CLOSE, b"\x03\xe8" + b"x" * 124)),
    "close of one byte": (1002, frame(CLOSE, b"\x03")),
    **{
        f"close code {code}": (1002, close_frame(code))
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    },
    "close reason not UTF-8": (1007, frame(CLOSE, b"\x03\xe8\xff\xfe")),
    "close within a message": (1002, frame(TEXT, b"a", fin=False) + close_frame()),
    "not UTF-8": (1007, frame(TEXT, b"\xff\xfe")),
    "surrogate": (1007, frame(TEXT, b"\xed\xa0\x80")),
    "cut letter": (1007, frame(TEXT, b"\xe2\x82")),
    "not UTF-8 over fragments": (1007, frame(TEXT, b"\xe2", fin=False) + frame(CONT, b"\x28\xa1")),
    "cut letter at the end of fragments": (1007, frame(TEXT, b"a", fin=False) + frame(CONT, b"\xe2")),
    "too large": (1009, frame(TEXT, b"x" * _TOO_LARGE)),
    "too large by its header": (1009, frame(TEXT, b"", announced=_TOO_LARGE)),
    "too large by far": (1009, frame(BINARY, b"", announced=(1 << 63) - 1)),
    "too large over fragments": (
        1009,
        frame(TEXT, b"x" * 40_000, fin=False) + frame(CONT, b"x" * 40_000),
    ),
    "too large by one over many": (
        1009,
        frame(TEXT, b"x", fin=False) + frame(CONT, b"x" * 10_000, fin=False) * 7,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "data"), _ERRORS.values(), ids=_ERRORS.keys())
@pytest.mark.parametrize("size", [1 << 30, 1, 2, 7, 1000], ids=lambda size: f"pieces of {size}")
def test_every_error_fails_with_its_code(code: int, data: bytes, size: int) -> None:
    """Each breach of the protocol is told by its close code, however it is cut, and ends reading."""
    if size < 1000 < len(data):
        size *= 1000
    inbound = Inbound(MAX_BYTES)
    got = _feed(inbound, (data[begin : begin + size] for begin in range(0, len(data), size)))
    assert got[0] is Ended.FAILED
    assert set(got) == {Ended.FAILED}
    assert inbound.failure_code == code
    output = inbound.output()
    assert output[0] == 0x88
    assert struct.unpack("!H", output[2:4])[0] == code
    assert len(output) == 2 + output[1], "the close frame is the last that is sent"
    # Whatever follows is dropped (RFC 6455 section 7.1.7).
    more = _feed(inbound, [frame(TEXT, b"too late"), frame(PING, b"x"), close_frame()])
    assert set(more) <= {Ended.FAILED}
    assert inbound.output() == b""
    assert not inbound.is_at_rest


def test_what_came_before_an_error_counts() -> None:
    """Messages before a breach, in the same piece, are messages."""
    inbound = Inbound(MAX_BYTES)
    data = frame(TEXT, b"one") + frame(BINARY, b"two") + frame(7)
    assert _feed(inbound, [data]) == ["one", b"two", Ended.FAILED]


@pytest.mark.parametrize("then", [frame(TEXT, b"late"), close_frame(), frame(7), frame(PING, b"p")])
def test_nothing_counts_after_bad_utf_8(then: bytes) -> None:
    """Bad UTF-8 ends reading, whatever follows in the same piece."""
    inbound = Inbound(MAX_BYTES)
    assert _feed(inbound, [frame(TEXT, b"\xff") + then]) == [Ended.FAILED]
    assert not inbound.is_at_rest


def test_the_largest_message() -> None:
    """A message of just the largest size is read, in one frame and in many."""
    inbound = Inbound(1000)
    fragments = frame(TEXT, b"x" * 500, fin=False) + frame(CONT, b"y" * 500)
    assert _feed(inbound, [frame(TEXT, b"z" * 1000), fragments]) == [
        "z" * 1000,
        "x" * 500 + "y" * 500,
    ]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_at_all(chunks: list[bytes]) -> None:
    """No bytes make it raise; it never is at rest after a failure."""
    inbound = Inbound(1000)
    failed = False
    for chunk in chunks:
        failed = failed or bool({Ended.FAILED, Ended.CLOSED} & set(_feed(inbound, [chunk])))
        assert not (failed and inbound.is_at_rest)
    inbound.output()


# Closing


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 3999, 4000, 4999])
def test_the_client_closes(code: int) -> None:
    """A close frame is answered with its own code (RFC 6455 section 5.5.1); nothing comes after."""
    inbound = Inbound(MAX_BYTES)
    data = frame(TEXT, b"last") + close_frame(code, "bye") + frame(TEXT, b"too late")
    assert _feed(inbound, [data]) == ["last", Ended.CLOSED]
    assert inbound.close_code == code
    assert inbound.output() == b"\x88\x05" + struct.pack("!H", code) + b"bye"
    assert not inbound.is_at_rest


def test_the_client_closes_without_a_code() -> None:
    """An empty close frame reads as 1005, and is answered with an empty one."""
    inbound = Inbound(MAX_BYTES)
    assert _feed(inbound, [frame(CLOSE)]) == [Ended.CLOSED]
    assert inbound.close_code == 1005
    assert inbound.output() == b"\x88\x00"


def test_we_close() -> None:
    """Our close goes out once; what comes before the answer is still read, then the answer ends it."""
    inbound = Inbound(MAX_BYTES)
    assert (
        inbound.close(4005, "Broker lost") == b"\x88\x0d" + struct.pack("!H", 4005) + b"Broker lost"
    )
    assert inbound.close(4001, "again") == b""
    assert not inbound.is_at_rest
    assert _feed(inbound, [frame(TEXT, b"on its way")]) == ["on its way"]
    assert _feed(inbound, [close_frame(4005)]) == [Ended.CLOSED]
    assert inbound.output() == b"", "an answer is not answered"


def test_who_does_not_close() -> None:
    """Without a close frame the code is 1006, which is never sent."""
    inbound = Inbound(MAX_BYTES)
    assert (inbound.close_code, inbound.failure_code) == (1006, 1006)


# The library


def _protocol() -> Protocol:
    return Protocol(SERVER, state=State.OPEN, max_size=100)


def _state(protocol: Protocol) -> State:
    """Return the state, which a type checker takes for unchanged."""
    return protocol.state


def _error(protocol: Protocol) -> Exception | None:
    return protocol.parser_exc


def test_contract_events() -> None:
    """``events_received`` gives every frame once, control frames too, unmasked and as it was cut.

    Relied on to know where a frame ends: the sizes of all frames make up what came.
    """
    protocol = _protocol()
    data = frame(TEXT, b"a", fin=False) + frame(PING, b"bc") + frame(PONG) + frame(CONT, b"d")
    protocol.receive_data(data)
    events = protocol.events_received()
    assert [(e.opcode, bytes(e.data), e.fin) for e in events if isinstance(e, Frame)] == [
        (Opcode.TEXT, b"a", False),
        (Opcode.PING, b"bc", True),
        (Opcode.PONG, b"", True),
        (Opcode.CONT, b"d", True),
    ]
    assert protocol.events_received() == []
    protocol.receive_data(close_frame())
    (closing,) = protocol.events_received()
    assert isinstance(closing, Frame)
    assert closing.opcode is Opcode.CLOSE


def test_contract_data_to_send() -> None:
    """``data_to_send`` gives bytes once; an end of the stream is an empty one, which joins to nothing."""
    assert SEND_EOF == b""
    protocol = _protocol()
    protocol.receive_data(frame(PING, b"x"))
    assert protocol.data_to_send() == [b"\x8a\x01x"]
    assert protocol.data_to_send() == []
    protocol.receive_data(close_frame())
    assert protocol.data_to_send() == [b"\x88\x02\x03\xe8", SEND_EOF]


def test_contract_state() -> None:
    """A protocol that is begun in the state OPEN needs no handshake, and leaves it by a close."""
    protocol = _protocol()
    assert _state(protocol) is State.OPEN
    protocol.send_close(4005, "x")
    assert _state(protocol) is State.CLOSING
    assert protocol.close_sent == Close(4005, "x")
    assert protocol.close_rcvd is None
    protocol.receive_data(close_frame(4005))
    assert protocol.close_rcvd == Close(4005, "")


def test_contract_failures() -> None:
    """A breach sets ``parser_exc`` and ``close_sent``; ``fail`` sets ``close_sent`` alone."""
    protocol = _protocol()
    assert _error(protocol) is None
    protocol.receive_data(frame(7))
    assert _error(protocol) is not None
    assert protocol.close_sent is not None
    assert protocol.close_sent.code == CloseCode.PROTOCOL_ERROR
    protocol = _protocol()
    protocol.fail(CloseCode.INVALID_DATA, "x")
    assert _error(protocol) is None
    assert protocol.close_sent == Close(CloseCode.INVALID_DATA, "x")
    assert _state(protocol) is State.CLOSING
    # Anything may still come, and is dropped.
    protocol.receive_data(frame(TEXT, b"x"))
    assert protocol.events_received() == []


def test_contract_size() -> None:
    """``max_size`` bounds a whole message, whatever its fragments."""
    protocol = _protocol()
    protocol.receive_data(frame(TEXT, b"x" * 60, fin=False))
    assert _error(protocol) is None
    protocol.receive_data(frame(CONT, b"x" * 41))
    assert _error(protocol) is not None
