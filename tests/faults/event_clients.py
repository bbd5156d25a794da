"""Clients that read Server-Sent Events, and say what they have to say in requests beside them."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tests.faults.checker import Violation
from tests.faults.clients import FlappingClient
from tests.support.events import EventsClient, HttpAnswer, Refused, StreamClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.clients import Line


class EventsReader(FlappingClient):
    """One that reads events, and keeps its own position as it would over a WebSocket."""

    _breaks = (Refused, StreamClosed)

    async def _open(self) -> Line:
        position = self.witness.position
        return await self._stream("" if position is None else f"{position}")

    async def _stream(self, since: str = "", *, last_id: str = "") -> _Stream:
        witness = self.witness
        async with asyncio.timeout(5):
            reader = await EventsClient.connect(
                self._pick_port(), witness.session, last_id=last_id, since=since, guest=witness.name
            )
        path = f"/sessions/{witness.session}/messages?guest={witness.name}"
        return _Stream(reader, path, self._pick_port)


class EventSource(EventsReader):
    """One that knows of positions only what a browser does: it resends the last id.

    It checks after each event that the id is the position that it would have kept.
    """

    _line: _Stream | None = None
    _last_id = ""

    async def _open(self) -> Line:
        self._line = await self._stream(last_id=self._last_id)
        return self._line

    def _took(self, message: dict[str, Any]) -> None:
        assert self._line is not None
        self._last_id = self._line.reader.event_id
        position = self.witness.position
        if position is not None and self._last_id != str(position):
            raise Violation(f"{self.witness}: the id is {self._last_id!r} after {message}")

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._last_id = ""


class _Stream:
    def __init__(self, reader: EventsClient, path: str, pick_port: Callable[[], int]) -> None:
        self.reader = reader
        self._path = path
        self._pick_port = pick_port

    async def receive(self) -> dict[str, Any]:
        return await self.reader.next(passing=())

    async def send(self, message_id: str, text: str) -> dict[str, Any] | None:
        """Say it to any relay; None when it has to be said again."""
        try:
            async with asyncio.timeout(5):
                answer = await HttpAnswer.ask(
                    self._pick_port(), "POST", self._path, body=text.encode(),
                    headers={"Content-Type": "application/json", "Connection": "close"},
                )  # fmt: skip
                try:
                    said = json.loads(await answer.body())
                finally:
                    answer.writer.transport.abort()
        except (OSError, EOFError):
            return None
        if answer.status != HTTPStatus.OK:
            return {"type": "error", "ref": message_id, "code": said["code"]}
        (one,) = said["messages"]
        return {"type": "ack", "ref": message_id, "position": one["position"]}

    def abort(self) -> None:
        self.reader.reset()
