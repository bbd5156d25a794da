"""What one writes first: Starlette, redis-py's pub/sub, ``send_json`` in a loop. The yardstick."""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio.client import PubSub


def create_app() -> Starlette:
    """Build an app that fans ``hints:<session>`` out to everybody on ``/ws?session=<session>``."""
    sockets: defaultdict[str, set[WebSocket]] = defaultdict(set)
    redis = Redis.from_url(os.environ["BENCH_REDIS_URL"])

    async def pump(pubsub: PubSub) -> None:
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                value = json.loads(message["data"])
                session = message["channel"].decode().removeprefix("hints:")
                for socket in list(sockets[session]):
                    await socket.send_json(value)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with redis.pubsub() as pubsub:
            await pubsub.psubscribe("hints:*")
            await pubsub.get_message(timeout=5)
            task = asyncio.create_task(pump(pubsub))
            yield
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await redis.aclose()

    async def serve(websocket: WebSocket) -> None:
        await websocket.accept()
        session = websocket.query_params["session"]
        sockets[session].add(websocket)
        await websocket.send_json({"type": "connection"})
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            pass
        finally:
            sockets[session].discard(websocket)

    return Starlette(routes=[WebSocketRoute("/ws", serve)], lifespan=lifespan)
