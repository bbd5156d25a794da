"""The feed against a simple model, for any interleaving of what can happen to it."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay.feed import Backlog, Feed, FeedState, Filled, Received
from relay.log_slice import LogSlice
from relay.position import Position
from relay.publication import Publication


def _publication(position: Position | None, text: str = "") -> Publication:
    prefix = b"" if position is None else f'"position":"{position}",'.encode()
    return Publication(position, b"{" + prefix + f'"text":"{text}"}}'.encode())


def _slice(after: Position | None, log: list[Publication], floor: int = 0) -> LogSlice:
    """Read a model log as ``Broker.read`` would."""
    if not log:
        return LogSlice(after, None, None, (), from_beginning=True)
    head = log[-1].position
    assert head is not None
    from_start = after is None or after.epoch != head.epoch
    kept = [p for p in log if p.position is not None and p.position.offset > floor]
    return LogSlice(
        after,
        head,
        Position(head.epoch, floor) if floor else None,
        tuple(p for p in kept if from_start or (p.position or head) > (after or head)),
        from_beginning=from_start,
    )


def _live_feed(count: int, *, max_messages: int = 100) -> tuple[Feed, list[Publication]]:
    log = [_publication(Position(7, n)) for n in range(1, count + 1)]
    feed = Feed(max_messages=max_messages, max_bytes=1 << 20)
    feed.begin_read()
    feed.fill(_slice(None, log))
    return feed, log


def _offsets(publications: tuple[Publication, ...] | list[Publication]) -> list[int]:
    return [p.position.offset for p in publications if p.position is not None]


def test_a_gap_asks_for_the_log_and_loses_nothing() -> None:
    """A missing publication is read from the log; what arrived meanwhile follows it."""
    feed, log = _live_feed(2)
    cursor = feed.end
    log += [_publication(Position(7, n)) for n in (3, 4, 5)]
    assert feed.receive(log[3]) is Received.HELD
    after = feed.begin_read()
    assert feed.receive(log[4]) is Received.HELD
    assert feed.fill(_slice(after, log[:4])) is Filled.CONTINUED
    assert _offsets(feed.read(cursor, 10**9) or []) == [3, 4, 5]
    assert feed.state is FeedState.LIVE


def test_a_forged_position_changes_nothing() -> None:
    """A position that the log does not have is dropped once the log has been asked."""
    feed, log = _live_feed(2)
    cursor = feed.end
    assert feed.receive(_publication(Position(7, 900))) is Received.HELD
    assert feed.fill(_slice(feed.begin_read(), log)) is Filled.CONTINUED
    assert feed.read(cursor, 10**9) == []
    assert (feed.state, feed.head) == (FeedState.LIVE, Position(7, 2))


def test_a_rolled_back_log_resets() -> None:
    """After a failover that lost the tail, readers must be told; new positions are no duplicates."""
    feed, log = _live_feed(5)
    cursor = feed.end
    log = [*log[:3], _publication(Position(7, 4), "another")]
    assert feed.receive(log[3]) is Received.HELD
    assert feed.fill(_slice(feed.begin_read(), log)) is Filled.RESET
    assert feed.read(cursor, 10**9) is None
    assert feed.head == Position(7, 4)


def test_a_new_epoch_resets() -> None:
    """A log that began anew is told, and is there as a whole."""
    feed, _ = _live_feed(5)
    log = [_publication(Position(9, 1))]
    assert feed.receive(log[0]) is Received.HELD
    assert feed.fill(_slice(feed.begin_read(), log)) is Filled.RESET
    assert feed.backlog_from_ring(None) == Backlog(None, tuple(log))


def _restarted(log: list[Publication], count: int) -> tuple[list[Publication], Position | None]:
    """Go on with a log as a restarted Redis does: in a new epoch; and where the old one ended."""
    return [*log, *(_publication(Position(9, n)) for n in range(1, count + 1))], log[-1].position


def test_a_log_that_goes_on_in_a_new_epoch() -> None:
    """A restart that lost nothing is a new epoch that joins up: nobody is told anything."""
    feed, log = _live_feed(3)
    cursor = feed.end
    log, ended = _restarted(log, 2)
    assert feed.receive(log[3]) is Received.HELD
    after = feed.begin_read()
    read = LogSlice(after, Position(9, 2), None, tuple(log[3:]), ended)
    assert feed.fill(read) is Filled.CONTINUED
    assert [p.position for p in feed.read(cursor, 10**9) or []] == [Position(9, 1), Position(9, 2)]
    # Who comes with a position of the old epoch is answered from the log.
    assert feed.backlog_from_ring(Position(7, 2)) is None
    since = LogSlice(Position(7, 2), Position(9, 2), None, tuple(log[2:]), ended)
    assert feed.backlog_from_log(Position(7, 2), since) == Backlog(True, tuple(log[2:]))


def test_a_tail_that_was_overtaken_is_told() -> None:
    """A restart that lost the tail is told, however much has been published since."""
    feed, log = _live_feed(5)
    log, ended = _restarted(log[:3], 40)
    feed.doubt()
    after = feed.begin_read()
    read = LogSlice(after, Position(9, 40), None, tuple(log[3:]), ended)
    assert feed.fill(read) is Filled.RESET
    lost = LogSlice(Position(7, 5), Position(9, 40), None, tuple(log[3:]), ended)
    assert feed.backlog_from_log(Position(7, 5), lost) is None, "the whole log is needed"
    whole = LogSlice(None, Position(9, 40), None, tuple(log), from_beginning=True)
    assert feed.backlog_from_log(Position(7, 5), whole) == Backlog(False, tuple(log))


def test_before_the_first_nothing_was_given() -> None:
    """Where a log was trimmed up to an epoch's beginning, who has read nothing was given nothing."""
    feed = Feed(max_messages=10, max_bytes=1 << 20)
    feed.begin_read()
    first = Publication(Position(9, 1), b"{}")
    feed.fill(LogSlice(None, Position(9, 1), Position(9, 0), (first,), from_beginning=True))
    assert feed.position_before(feed.begin) is None
    assert feed.position_before(feed.end) == Position(9, 1)


def test_the_end_of_an_epoch_may_not_be_the_beginning_of_the_newest() -> None:
    """Who had all of an old epoch misses what was trimmed since: there may be another in between."""
    read = LogSlice(Position(7, 3), Position(9, 4), Position(7, 3), (), Position(7, 3))
    assert read.reaches_back_to(Position(7, 3))
    assert not read.reaches_back_to(Position(7, 2))
    assert not read.reaches_back_to(Position(7, 4))
    assert not read.reaches_back_to(Position(6, 1))
    for floor in (Position(8, 2), Position(9, 0)):
        trimmed = LogSlice(Position(7, 3), Position(9, 4), floor, (), Position(7, 3))
        assert not trimmed.reaches_back_to(Position(7, 3))


def test_later_reads_join_on() -> None:
    """A read that goes on where another ended is one read; one that does not is none."""
    log = [_publication(Position(7, n)) for n in range(1, 7)]
    first, second = _slice(None, log[:4]), _slice(Position(7, 4), log)
    joined = first.followed_by(second)
    assert joined is not None
    assert (joined.after, joined.head, joined.is_whole) == (None, Position(7, 6), True)
    assert _offsets(joined.publications) == [1, 2, 3, 4, 5, 6]
    assert _slice(None, log[:3]).followed_by(second) is None
    assert first.followed_by(_slice(Position(7, 4), log, floor=5)) is None


def test_history_that_was_trimmed_meanwhile_resets() -> None:
    """When the log no longer reaches back to the head, what is lost is told, never skipped."""
    feed, log = _live_feed(3)
    log += [_publication(Position(7, n)) for n in range(4, 10)]
    feed.doubt()
    assert feed.fill(_slice(feed.begin_read(), log, floor=6)) is Filled.RESET
    assert feed.head == Position(7, 9)


def test_a_hole_from_compaction_is_no_gap() -> None:
    """Publications that the log gave up on purpose are not missed."""
    feed, log = _live_feed(2)
    cursor = feed.end
    feed.doubt()
    log.append(_publication(Position(7, 9), "the finished hint"))
    assert feed.fill(_slice(feed.begin_read(), log)) is Filled.CONTINUED
    assert _offsets(feed.read(cursor, 10**9) or []) == [9]


def test_what_does_not_fit_while_reading_is_read_again() -> None:
    """A burst during a read that is larger than the bound leaves the feed behind, not wrong."""
    feed, log = _live_feed(1, max_messages=3)
    feed.doubt()
    after = feed.begin_read()
    log += [_publication(Position(7, n)) for n in range(2, 8)]
    for publication in log[1:]:
        feed.receive(publication)
    feed.fill(_slice(after, log[:1]))
    assert feed.state is FeedState.BEHIND
    feed.fill(_slice(feed.begin_read(), log))
    assert (feed.state, feed.head) == (FeedState.LIVE, Position(7, 7))


def test_plain_publications_are_only_live() -> None:
    """A message without a position reaches who is there, and no backlog."""
    feed, log = _live_feed(1)
    cursor = feed.end
    plain = _publication(None, "plain")
    assert feed.receive(plain) is Received.APPENDED
    assert feed.read(cursor, 10**9) == [plain]
    assert feed.backlog_from_ring(None) == Backlog(None, tuple(log))
    assert feed.backlog_from_ring(Position(7, 1)) == Backlog(True, ())


def test_the_ring_is_bounded_in_bytes() -> None:
    """Bytes count too, and the newest publication is kept however large it is."""
    feed = Feed(max_messages=100, max_bytes=100)
    feed.fill(LogSlice(None, None, None, (), from_beginning=True))
    for offset in range(1, 20):
        feed.receive(_publication(Position(7, offset), "x" * 60))
    assert len(feed) == 1
    assert feed.bytes_kept < 200
    assert feed.backlog_from_ring(None) is None, "the log has more than the ring"


def test_a_since_from_before_the_floor_is_told() -> None:
    """A ring that has all that is kept still knows what was trimmed before."""
    log = [_publication(Position(7, n)) for n in range(1, 10)]
    feed = Feed(max_messages=100, max_bytes=1 << 20)
    feed.fill(_slice(None, log, floor=4))
    assert feed.backlog_from_ring(Position(7, 4)) == Backlog(True, tuple(log[4:]))
    assert feed.backlog_from_ring(Position(7, 3)) == Backlog(False, tuple(log[4:]))


def test_a_log_slice_is_joined_with_what_came_after_it() -> None:
    """A log read that the feed has outrun is completed from the ring."""
    feed, log = _live_feed(6, max_messages=3)
    early = _slice(Position(7, 1), log[:5])
    assert feed.backlog_from_ring(Position(7, 1)) is None
    backlog = feed.backlog_from_log(Position(7, 1), early)
    assert backlog is not None
    assert backlog.recovered is True
    assert _offsets(backlog.publications) == [2, 3, 4, 5, 6]


def test_a_slice_that_the_ring_has_left_behind_is_no_answer() -> None:
    """Between an old log read and a small ring something is missing: the log is read again."""
    feed, log = _live_feed(9, max_messages=2)
    early = _slice(Position(7, 1), log[:4])
    assert feed.backlog_from_log(Position(7, 1), early) is None


def test_cursors_stay_right_while_the_ring_turns() -> None:
    """Over thousands of publications a reader that keeps up gets each of them."""
    feed, log = _live_feed(1, max_messages=10)
    cursor, got = feed.end, []
    for offset in range(2, 3000):
        feed.receive(_publication(Position(7, offset)))
        if offset % 7 == 0:
            publications = feed.read(cursor, 10**9) or []
            cursor += len(publications)
            got += _offsets(publications)
    assert got == list(range(2, 2997))
    assert len(log) == 1


def test_the_position_before_a_cursor() -> None:
    """It is the newest that a reader there has: the last kept one, also behind plain ones."""
    feed, _ = _live_feed(0)
    cursors = [feed.end]
    assert feed.position_before(feed.end) is None
    feed.receive(_publication(None))
    assert feed.position_before(feed.end) is None
    for offset in (1, 2):
        feed.receive(_publication(Position(7, offset)))
        feed.receive(_publication(None))
        cursors.append(feed.end)
    assert [feed.position_before(cursor) for cursor in cursors] == [
        None, Position(7, 1), Position(7, 2),
    ]  # fmt: skip
    assert feed.position_before(feed.end - 1) == Position(7, 2)


def test_the_position_before_a_ring() -> None:
    """At the ring's beginning it is what left last; before it nobody knows."""
    feed, _ = _live_feed(5, max_messages=2)
    assert feed.position_before(feed.begin) == Position(7, 3)
    assert feed.position_before(feed.begin + 1) == Position(7, 4)
    assert feed.position_before(feed.begin - 1) is None
    assert feed.position_before(feed.end) == Position(7, 5)


def test_a_log_does_not_begin_in_the_middle() -> None:
    """Where no log was, a first publication that is not number one asks for the log."""
    feed = Feed(max_messages=10, max_bytes=1000)
    feed.fill(LogSlice(None, None, None, (), from_beginning=True))
    log = [_publication(Position(7, 1)), _publication(Position(7, 2))]
    assert feed.receive(log[1]) is Received.HELD
    assert feed.fill(_slice(feed.begin_read(), log)) is Filled.CONTINUED
    assert feed.head == Position(7, 2)


def test_a_repeated_publication_is_dropped_without_asking() -> None:
    """The newest publication heard twice costs nothing."""
    feed, log = _live_feed(2)
    assert feed.receive(log[1]) is Received.DUPLICATE
    assert feed.state is FeedState.LIVE


def test_what_arrived_during_the_read_and_is_in_it_is_dropped() -> None:
    """A publication that both the read and the subscription brought is appended once."""
    feed, log = _live_feed(1)
    cursor = feed.end
    feed.doubt()
    after = feed.begin_read()
    log.append(_publication(Position(7, 2)))
    feed.receive(log[1])
    feed.fill(_slice(after, log))
    assert feed.state is FeedState.LIVE
    assert _offsets(feed.read(cursor, 10**9) or []) == [2]


def test_each_reset_is_a_generation() -> None:
    """Readers can tell a reset from a ring that moved on."""
    feed, log = _live_feed(2)
    before = feed.generation
    feed.doubt()
    feed.fill(_slice(feed.begin_read(), log))
    assert feed.generation == before
    feed.doubt()
    feed.fill(LogSlice(feed.begin_read(), None, None, (), from_beginning=True))
    assert feed.generation == before + 1


class FeedMachine(RuleBasedStateMachine):
    """Any interleaving of publishing, losing, reading, trimming, rolling back and joining.

    The model: ``log`` is what Redis has, ``true_log`` of a reader is what it was given since its last
    (re)start, which must be the log from there on, in order, once each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 1000
        self.log: list[Publication] = []
        self.floor = 0
        self.feed = Feed(max_messages=5, max_bytes=400)
        self.read_after: Position | None = None
        self.reading: LogSlice | None = None
        self.fill_now()
        # Each reader: its cursor, its generation, and the offsets that it has.
        self.readers: list[tuple[int, int, list[tuple[int, int]]]] = []
        self.serial = 0

    def _next(self) -> Publication:
        self.serial += 1
        last = self.log[-1].position if self.log else None
        position = Position(self.epoch, 1 if last is None else last.offset + 1)
        publication = _publication(position, str(self.serial))
        self.log.append(publication)
        return publication

    @rule()
    def publish(self) -> None:
        self.feed.receive(self._next())

    @rule()
    def publish_unheard(self) -> None:
        """Published while the subscription was broken; the link says so."""
        self._next()
        self.feed.doubt()

    @rule()
    def publish_plain(self) -> None:
        self.feed.receive(_publication(None, "plain"))

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def hear_again(self, data: st.DataObject) -> None:
        """An old publication arrives a second time."""
        self.feed.receive(data.draw(st.sampled_from(self.log)))

    @rule(offset=st.integers(1, 60), epoch=st.integers(990, 1010))
    def forge(self, offset: int, epoch: int) -> None:
        position = Position(epoch, offset)
        if position != self._expected():
            self.feed.receive(_publication(position, "forged"))

    def _expected(self) -> Position | None:
        head = self.feed.head
        if head is None:
            return None
        return Position(head.epoch, head.offset + 1)

    @precondition(lambda self: self.log)
    @rule()
    def trim(self) -> None:
        """Redis drops the older half."""
        last = self.log[-1].position
        assert last is not None
        self.floor = max(self.floor, (self.floor + last.offset) // 2)

    @precondition(lambda self: len(self.log) > 1)
    @rule()
    def roll_back(self) -> None:
        """A failover to a replica that lacked the newest; the link breaks with it."""
        self.log.pop()
        last = self.log[-1].position
        assert last is not None
        self.floor = min(self.floor, last.offset - 1)
        self.feed.doubt()
        self.reading = None

    @rule()
    def flush_all(self) -> None:
        self.log.clear()
        self.floor = 0
        self.epoch += 1
        self.feed.doubt()
        self.reading = None

    @precondition(lambda self: self.feed.state is not FeedState.LIVE)
    @rule()
    def begin_read(self) -> None:
        self.reading = _slice(self.feed.begin_read(), self.log, self.floor)

    @precondition(lambda self: self.reading is not None)
    @rule()
    def end_read(self) -> None:
        assert self.reading is not None
        self.feed.fill(self.reading)
        self.reading = None

    @rule()
    def fill_now(self) -> None:
        if self.feed.state is not FeedState.LIVE:
            self.feed.fill(_slice(self.feed.begin_read(), self.log, self.floor))
            self.reading = None

    @precondition(lambda self: self.feed.state is FeedState.LIVE)
    @rule(data=st.data())
    def join(self, data: st.DataObject) -> None:
        """A reader joins with nothing, or with any position that once was."""
        head = self.feed.head
        since = data.draw(
            st.none()
            if head is None
            else st.none() | st.builds(Position, st.just(head.epoch), st.integers(1, head.offset))
        )
        backlog = self.feed.backlog_from_ring(since)
        if backlog is None:
            backlog = self.feed.backlog_from_log(since, _slice(since, self.log, self.floor))
        if backlog is None:
            backlog = self.feed.backlog_from_log(since, _slice(None, self.log, self.floor))
        if backlog is None or (head is not None and not self._is_same_log()):
            return
        got = [(p.position.epoch, p.position.offset) for p in backlog.publications if p.position]
        if backlog.recovered and since is not None and head is not None:
            assert got == [(head.epoch, n) for n in range(since.offset + 1, head.offset + 1)]
        self.readers.append((self.feed.end, self.feed.generation, got))

    def _is_same_log(self) -> bool:
        return self.feed.is_same_log(_slice(None, self.log, self.floor))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        """A reader takes what is there for it; a slow one takes it rarely."""
        index = data.draw(st.integers(0, len(self.readers) - 1))
        cursor, generation, got = self.readers.pop(index)
        publications = self.feed.read(cursor, 10**9)
        if generation != self.feed.generation or publications is None:
            return
        got = got + [(p.position.epoch, p.position.offset) for p in publications if p.position]
        self.readers.append((cursor + len(publications), generation, got))

    @invariant()
    def readers_have_each_publication_once_and_in_order(self) -> None:
        for _, _, got in self.readers:
            assert got == sorted(set(got))
            assert len({epoch for epoch, _ in got}) <= 1
            offsets = [offset for _, offset in got]
            assert (
                offsets == list(range(offsets[0], offsets[0] + len(offsets))) if offsets else True
            )

    @invariant()
    def bounded(self) -> None:
        assert len(self.feed) <= 5

    @invariant()
    def a_live_feed_that_was_told_everything_has_the_log(self) -> None:
        if self.feed.state is FeedState.LIVE and self.log and self._is_same_log():
            assert self.feed.head is not None
            assert self.feed.head <= (self.log[-1].position or self.feed.head)


TestFeedMachine = FeedMachine.TestCase
TestFeedMachine.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
