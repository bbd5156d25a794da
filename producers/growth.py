"""How a streaming hint grows: what was appended, what of it Redis has, and what is to be done next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from relay.broker.streaming import Standing, escaped, utf16_length
from relay.errors import HintCancelled, HintEnded, HintTooLarge, InvalidMessage

if TYPE_CHECKING:
    from producers.pacing import Pacing
    from relay.broker.streaming import Step

Ending = Literal["complete", "cancelled", "interrupted"]

# Around the text of a piece, on the wire, but for the hint's id and the number in "at".
_ENVELOPE_BYTES = len('{"position":"1763900000000-1000","type":"append","id":"","at":,"text":""}')


class Opening(NamedTuple):
    """Publish the hint with this text; ``anew`` when Redis has had it and may lack some of it."""

    text: str
    anew: bool


class Piece(NamedTuple):
    """Publish more text after the first ``at`` UTF-16 code units, and the end if there is one."""

    at: int
    text: str
    status: Ending | None


class Renewal(NamedTuple):
    """Say that the producer is alive, and ask how the hint stands."""


Action = Opening | Piece | Renewal


class Growth:
    """One streaming hint on its way into Redis.

    Whoever does the I/O asks ``take`` what to do, does it, and tells the outcome: ``answer`` when
    Redis answered, ``fail`` when it did not. One action is under way at a time, and one whose outcome
    is unknown is repeated as it was, so that Redis recognises it; this makes the text in Redis the
    text that was appended, whatever is lost, repeated or forgotten on the way.

    Pure: it does no I/O and knows no clock.

    Args:
        hint_id: the hint's.
        room_bytes: how many bytes of escaped text fit.
        max_bytes: what a whole hint may have, for the error that says so.
        pacing: decides when pieces go out.
        renew_s: how long to be silent before saying that the producer is alive.
    """

    def __init__(
        self,
        hint_id: str,
        *,
        room_bytes: int,
        max_bytes: int,
        pacing: Pacing,
        renew_s: float = 2.0,
    ) -> None:
        self._id = hint_id
        self._room_bytes = room_bytes
        self._max_bytes = max_bytes
        self._pacing = pacing
        self._renew_s = renew_s
        self._renew_at_s = float("-inf")
        # Pieces of the text: those that Redis has, and those that it does not have for sure.
        self._sent: list[str] = []
        self._sent_length = 0
        self._unsent: list[str] = []
        self._text_bytes = 0
        # How many characters wait; pieces under way count.
        self._waiting = 0
        self._action: Action | None = None
        self._ending: Ending | None = None
        # What the next opening is to be; None when Redis has the hint.
        self._open_next: Literal["first", "anew"] | None = "first"

        self.is_open = False
        """Whether Redis has taken the hint's beginning."""
        self.ended: Ending | None = None
        """How it ended; None while it grows."""
        self.is_cancelled = False
        """Whether a facilitator wants it to stop."""

    @property
    def text(self) -> str:
        """Everything that was appended so far."""
        under_way = self._action.text if isinstance(self._action, Opening | Piece) else ""
        return "".join([*self._sent, under_way, *self._unsent])

    @property
    def waiting(self) -> int:
        """How many characters wait for Redis."""
        return self._waiting

    @property
    def due_s(self) -> float:
        """When ``take`` has something to do: minus infinity for at once."""
        if self._action is not None or self._open_next is not None or self._ending is not None:
            return float("-inf")
        if self._unsent:
            return min(self._renew_at_s, self._pacing.due_s)
        return self._renew_at_s

    def add(self, token: str) -> None:
        """Append text.

        Raises:
            HintEnded, HintCancelled: it is over.
            InvalidMessage: for what is no text, or not Unicode.
            HintTooLarge: there is no room for it. Nothing was appended.
        """
        if self.is_cancelled:
            raise HintCancelled(self._id)
        if self.ended is not None or self._ending is not None:
            raise HintEnded(self._id, self.ended or self._ending or "")
        if not isinstance(token, str):
            raise InvalidMessage(f"A hint grows by text, not by {type(token).__name__}.")
        if not token:
            return
        size = len(escaped(token))
        if self._text_bytes + size > self._room_bytes:
            over = self._text_bytes + size - self._room_bytes
            raise HintTooLarge(self._max_bytes + over, self._max_bytes)
        self._text_bytes += size
        self._unsent.append(token)
        self._waiting += len(token)

    def end(self, ending: Ending) -> None:
        """End it once all text is out; a second end changes nothing."""
        self._ending = self._ending or ending

    def cancel(self) -> None:
        """Note that a facilitator wants it to stop: nothing more is taken."""
        self.is_cancelled = True

    def ask(self) -> None:
        """Ask Redis soon how the hint stands."""
        self._renew_at_s = float("-inf")

    def take(self, now_s: float) -> Action | None:
        """Return what to do now: the same until its outcome is told; None before ``due_s``."""
        if self._action is None and self.ended is None and now_s >= self.due_s:
            self._action = self._next(now_s)
        return self._action

    def answer(self, now_s: float, step: Step) -> None:
        """Take Redis' answer to what ``take`` returned."""
        action, self._action = self._action, None
        if step.standing is Standing.CANCELLING:
            self.is_cancelled = True
        if step.standing.is_over:
            self._over(step.standing, action)
            return
        if step.standing is Standing.LOST:
            self._put_back(action)
            self._open_next = "anew"
            return
        # An action that Redis knew already has not told it that the producer is alive.
        self._renew_at_s = now_s + self._renew_s if step.new else float("-inf")
        match action:
            case Opening(anew=anew):
                # Not new: an answer was lost, or a producer that died had begun a hint with this id,
                # and its text is not ours. Opening anew tells the two apart.
                self._open_next = None if anew or step.new else "anew"
                self.is_open = self._open_next is None
                if self.is_open:
                    self._now_sent(action.text)
                elif not anew:
                    self._put_back(action)
            case Piece():
                self._now_sent(action.text)
            case _:
                self._renew_at_s = now_s + self._renew_s

    def fail(self, now_s: float) -> None:
        """Note that nobody knows what became of the action: a text's is repeated, a renewal's not."""
        if isinstance(self._action, Renewal):
            self._action = None
            self._renew_at_s = now_s + self._renew_s

    def _next(self, now_s: float) -> Action:
        if self._open_next is not None:
            return self._opening()
        if self._ending is None and not (self._unsent and now_s >= self._pacing.due_s):
            return Renewal()
        text = "".join(self._unsent)
        self._unsent.clear()
        envelope_bytes = _ENVELOPE_BYTES + len(self._id) + len(str(self._sent_length))
        self._pacing.note(now_s, text_bytes=len(escaped(text)), envelope_bytes=envelope_bytes)
        return Piece(self._sent_length, text, self._ending)

    def _opening(self) -> Opening:
        if self._open_next == "first":
            return Opening("", anew=False)
        text = "".join([*self._sent, *self._unsent])
        self._sent.clear()
        self._sent_length = 0
        self._unsent.clear()
        return Opening(text, anew=True)

    def _now_sent(self, text: str) -> None:
        self._sent.append(text)
        self._sent_length += utf16_length(text)
        self._waiting = sum(map(len, self._unsent))

    def _put_back(self, action: Action | None) -> None:
        if isinstance(action, Opening | Piece) and action.text:
            self._unsent.insert(0, action.text)

    def _over(self, standing: Standing, action: Action | None) -> None:
        self.ended = _ENDINGS[standing]
        if isinstance(action, Piece) and action.status == self.ended:
            # Also one that had ended it before, and whose answer was lost.
            self._now_sent(action.text)
        else:
            self._put_back(action)


_ENDINGS: dict[Standing, Ending] = {
    Standing.COMPLETE: "complete",
    Standing.CANCELLED: "cancelled",
    Standing.INTERRUPTED: "interrupted",
}
