"""The relay as it is served, but subscribed through redis-py's ``listen()`` instead of its own wire."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import uvicorn
from redis.asyncio import Redis

from relay.app import create_app
from relay.errors import BrokerUnavailable
from relay.logs import configure_logs
from relay.server import bind, uvicorn_config
from relay.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.asyncio.client import PubSub

    from relay.broker.wire import Address, WireListener


class ListenWire:
    """What the relay's ``Wire`` does, with a pub/sub connection of redis-py."""

    def __init__(self, pubsub: PubSub, listener: WireListener) -> None:
        self._pubsub = pubsub
        self._listener = listener
        # redis-py's commands are coroutines: one task sends them in their order.
        self._commands: asyncio.Queue[tuple[bool, list[str]]] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._command())]

    @classmethod
    async def connect(
        cls, address: Address, listener: WireListener, *, timeout_s: float
    ) -> ListenWire:
        """Connect; raises BrokerUnavailable."""
        pubsub = Redis(host=address.host, port=address.port, protocol=2).pubsub()
        try:
            async with asyncio.timeout(timeout_s):
                await pubsub.connect()  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError) as error:
            raise BrokerUnavailable(str(error)) from error
        return cls(pubsub, listener)

    def subscribe(self, channels: Iterable[str]) -> None:
        """Ask for channels."""
        self._commands.put_nowait((True, list(channels)))

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Leave channels."""
        self._commands.put_nowait((False, list(channels)))

    def abort(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()

    async def _command(self) -> None:
        while True:
            subscribe, channels = await self._commands.get()
            if subscribe:
                await self._pubsub.subscribe(*channels)
                if len(self._tasks) == 1:
                    # listen() ends at once where nothing is subscribed.
                    self._tasks.append(asyncio.create_task(self._listen()))
            else:
                await self._pubsub.unsubscribe(*channels)

    async def _listen(self) -> None:
        try:
            async for message in self._pubsub.listen():
                channel = cast("bytes", message["channel"]).decode()
                if message["type"] == "message":
                    self._listener.wire_message(channel, message["data"])
                    self._listener.wire_drained()
                elif message["type"] == "subscribe":
                    self._listener.wire_subscribed(channel)
        except Exception as error:  # noqa: BLE001 - whatever it is, the relay's link deals with it
            self._listener.wire_lost(error)


def main() -> None:
    """Serve one worker; settings come from the environment."""
    settings = Settings.load()
    configure_logs(settings.log_level, settings.log_format)
    listener = bind(settings)
    app = create_app(settings, connect_wire=ListenWire.connect)
    config = uvicorn_config(settings, app)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
