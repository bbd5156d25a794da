"""Messages as lines for people who read in a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from rich.text import Text

from producers.news import read_message
from relay.messages import Hint
from relay.position import Position

if TYPE_CHECKING:
    from relay.publication import Publication

_PRIORITY_STYLE = {"high": "bold yellow", "low": "dim"}

# How a hint's end is said; a complete one needs no words.
_ENDING = {
    "streaming": "… (still being written)",
    "cancelled": "(cancelled by a facilitator)",
    "interrupted": "(interrupted)",
}

# So much of a hint says which one is meant.
_FIRST_WORDS = 40

# More than a session's log keeps.
_MAX_HINTS = 5000

_GONE = "Some earlier messages are gone; going on from here."


class Rendering:
    """Turns messages into lines: time, who or what, and what it says.

    A hint that grows is two lines: one when it begins, and one with all its text when it ends. What
    facilitators say of a hint shows its first words; so it remembers the hints of the session. Pure
    but for the reader's time zone.
    """

    def __init__(self) -> None:
        # The first words of hints, by their ids; and what has come of those that still grow.
        self._hints: dict[str, str] = {}
        self._growing: dict[str, dict[str, Any]] = {}

    def note(self, payload: bytes) -> None:
        """Remember what a message that is not shown says."""
        self.line(payload)

    def line(self, payload: bytes) -> Text | None:
        """Return what shows a message; None when nothing does. Whatever it holds, it is no error."""
        message = _parsed(payload)
        line: Text | None = None
        match message:
            case {"type": "hint"}:
                line = self._hint(message)
            case {"type": "append", "id": str(hint), "text": str(text)}:
                line = self._append(hint, message, text)
            case {"type": "transcript"}:
                line = _line(message, str(message.get("speaker") or "transcript"), "cyan")
                line.append(_shown(message.get("text")))
            case {"type": "feedback"}:
                said = f"{_shown(message.get('action'))} {self._first_words(message.get('hint'))}"
                line = self._facilitator(message, said)
            case {"type": "command"}:
                line = self._command(message)
            case {"type": "presence"}:
                line = _line(message, "watching", "cyan").append(_facilitators(message))
            case {"type": "error"}:
                line = _line(message, "error", "red").append(_shown(message.get("text")))
            case {"type": "connection"} if message.get("recovered") is False:
                line = _line(message, "", "").append(_GONE, style="yellow")
            case {"type": "connection" | "report"}:
                pass
            case _:
                rest = orjson.dumps(message).decode()
                line = _line(message, str(message.get("type")), "dim").append(rest, style="dim")
        return line

    def _hint(self, message: dict[str, Any]) -> Text | None:
        hint, text = message.get("id"), message.get("text")
        if isinstance(hint, str) and isinstance(text, str):
            self._remember(hint, text)
            was_growing = self._growing.pop(hint, None)
            if message.get("status") == "streaming":
                self._growing[hint] = message
                if was_growing is not None:
                    # The text so far, for those who came late.
                    return None
        return _hint_line(message)

    def _append(self, hint: str, append: dict[str, Any], text: str) -> Text | None:
        message = self._growing.pop(hint, None)
        if message is None:
            return None
        message = {**message, "text": message["text"] + text}
        self._remember(hint, message["text"])
        if append.get("status") is None:
            self._growing[hint] = message
            return None
        return _hint_line({**message, "status": append["status"]})

    def _remember(self, hint: str, text: str) -> None:
        self._hints.pop(hint, None)
        self._hints[hint] = text[: 2 * _FIRST_WORDS]
        if len(self._hints) > _MAX_HINTS:
            del self._hints[next(iter(self._hints))]

    def _command(self, message: dict[str, Any]) -> Text:
        about = message.get("hint")
        said = "cancel" if message.get("name") == "cancel" else _shown(message.get("name"))
        if about is not None:
            said += f" {self._first_words(about)}"
        if message.get("text"):
            said += f": {_shown(message['text'])}"
        return self._facilitator(message, said)

    def _facilitator(self, message: dict[str, Any], said: str) -> Text:
        who = _shown(message.get("by") or "facilitator")
        return (
            _line(message, str(message["type"]), "magenta").append(f"{who}  ", "cyan").append(said)
        )

    def _first_words(self, hint: object) -> str:
        text = self._hints.get(str(hint))
        if text is None:
            return f"hint {_shown(hint)}"
        words = " ".join(_shown(text).split())
        return f"“{words[:_FIRST_WORDS].rstrip()}{'…' if len(words) > _FIRST_WORDS else ''}”"


def _hint_line(message: dict[str, Any]) -> Text:
    style = _PRIORITY_STYLE.get(str(message.get("priority")), "bold")
    text = _shown(message.get("text", ""))
    line = _line(message, "hint", "green").append(text, style=style)
    ending = _ENDING.get(str(message.get("status")), "")
    return line.append(f" {ending}" if text and ending else ending, style="dim")


def _line(message: dict[str, Any], what: str, style: str) -> Text:
    line = Text().append(f"{_clock(message.get('timestamp')):<10}", style="dim")
    return line.append(f"{_shown(what)[:11]:<12}" if what else "", style=style)


def _facilitators(message: dict[str, Any]) -> str:
    count = message.get("facilitators")
    said = "1 facilitator" if count == 1 else f"{_shown(count or 'no')} facilitators"
    who = message.get("who")
    return said + (f": {', '.join(map(_shown, who))}" if isinstance(who, list) and who else "")


def _shown(value: object) -> str:
    """Return what a terminal may show: it obeys control characters; a message must not."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in str(value))


def _clock(timestamp: object) -> str:
    """Return the time of day in the reader's own time zone; nothing for what is no time."""
    if not isinstance(timestamp, int | float):
        return ""
    try:
        return f"{datetime.fromtimestamp(timestamp).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return ""


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        message = None
    return message if isinstance(message, dict) else {"type": "unreadable"}


def first_appeared(publication: Publication) -> Position:
    """Return where a kept message first appeared: a hint that grew stands in the log where it ended.

    Raises:
        ValueError: for a message that is not kept.
    """
    if b'"began"' in publication.payload:
        match read_message(publication.payload):
            case Hint(began=str(began)):
                return Position.parse(began)
    if publication.position is None:
        raise ValueError("only what is kept has a place")
    return publication.position
