"""python-socketio with its Redis manager: a client joins a room, an outside process emits to it."""

from __future__ import annotations

import os
from typing import Any

import socketio  # type: ignore[import-untyped, import-not-found, unused-ignore]


def create_app() -> Any:
    """Build an ASGI app; only WebSockets, because a bench of polling would say something else."""
    server = socketio.AsyncServer(
        async_mode="asgi",
        client_manager=socketio.AsyncRedisManager(os.environ["BENCH_REDIS_URL"]),
        transports=["websocket"],
        cors_allowed_origins="*",
    )

    async def join(sid: str, session: str) -> str:
        await server.enter_room(sid, session)
        return "joined"

    server.on("join", join)
    return socketio.ASGIApp(server)
