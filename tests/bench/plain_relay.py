"""What one writes first: Starlette, redis-py's pub/sub, ``send_json`` in a loop. The yardstick."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def create_app() -> Starlette:
    """Build an app that fans ``hints:*`` out to everybody on ``/ws``."""
    sockets: set[WebSocket] = set()
    redis = Redis.from_url(os.environ["BENCH_REDIS_URL"])

    async def pump() -> None:
        async with redis.pubsub() as pubsub:
            await pubsub.psubscribe("hints:*")
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    value = json.loads(message["data"])
                    for socket in list(sockets):
                        await socket.send_json(value)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(pump())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await redis.aclose()

    async def serve(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"type": "connection"})
        sockets.add(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            pass
        finally:
            sockets.discard(websocket)

    return Starlette(routes=[WebSocketRoute("/ws", serve)], lifespan=lifespan)
