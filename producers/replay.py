"""Playing a recorded session again, in its own time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from producers.publisher import Sent
from relay.errors import BrokerError, InvalidMessage
from relay.messages import new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from producers.publisher import HintPublisher

SAMPLE = Path(__file__).parent / "samples" / "rehearsal.jsonl"


class _Line(BaseModel):
    """One message of a recording; fields beside these go into the message as they are.

    A hint with ``stream_s`` grows word by word for so long.
    """

    model_config = ConfigDict(extra="allow")

    at_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    type: Literal["hint", "transcript"]
    text: str
    stream_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


# A message that is played again is another message, now and in this session.
_NOT_PLAYED = frozenset({"session", "position", "timestamp"})

_NOT_FIELDS = frozenset({"at_s", "type", "text", "stream_s"})

_LINE = TypeAdapter(_Line)


def read_recording(lines: Iterable[str]) -> list[_Line]:
    """Read a recording: one JSON object a line; blank lines and lines with ``#`` first are passed over.

    Raises:
        InvalidMessage: naming the line that is wrong.
    """
    recording = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            recording.append(_LINE.validate_json(line))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, problem["loc"])) or "line"
            raise InvalidMessage(f"Line {number}, {field}: {problem['msg']}.") from None
    return sorted(recording, key=lambda line: line.at_s)


async def replay(
    publisher: HintPublisher, session: str, recording: list[_Line], *, speed: float = 1.0
) -> AsyncIterator[tuple[_Line, Sent]]:
    """Publish a recording, and yield each line when it is out.

    Args:
        publisher: where to publish; messages get the time of now. A recorded ``id`` stays an id in
            this playing, so that interim and final transcript lines belong together, and is
            another one in the next.
        session: into which session.
        recording: as ``read_recording`` returns it.
        speed: 2.0 plays twice as fast.
    """
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    playing = new_id()[:8]
    for line in recording:
        # Against the beginning, so that the time that publishing takes does not add up.
        await asyncio.sleep(max(0.0, began_s + line.at_s / speed - loop.time()))
        fields: dict[str, Any] = line.model_dump(exclude={*_NOT_FIELDS, *_NOT_PLAYED})
        if isinstance(fields.get("id"), str):
            fields["id"] = f"{fields['id']}-{playing}"
        if line.type == "transcript":
            yield line, await publisher.transcript(session, line.text, **fields)
        elif line.stream_s is None:
            yield line, await publisher.hint(session, line.text, **fields)
        else:
            yield line, await _stream(publisher, session, line, line.stream_s / speed, fields)


async def _stream(
    publisher: HintPublisher, session: str, line: _Line, seconds: float, fields: dict[str, Any]
) -> Sent:
    """Let a hint grow word by word; one that a facilitator stops has ended then."""
    words = line.text.split(" ")
    async with publisher.stream_hint(session, **fields) as hint:
        for n, word in enumerate(words):
            await hint.append(word if n == 0 else f" {word}")
            await asyncio.sleep(seconds / len(words))
    if hint.position is None:
        raise BrokerError("Redis has taken a hint without giving it a position.")
    return Sent(hint.id, hint.position)
