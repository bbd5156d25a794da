"""A server that says who it is and what it was asked: stands in for a relay or for the page.

It is here for facts about routing only. It runs as a process of its own, so that a test can kill
it the way that a machine would: ``python -m tests.deploy.stand_in NAME FD``, where FD is an
inherited listening socket.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

_ROOT = Path(__file__).parents[2]
_METHODS = ["GET", "POST"]


class StandIn:
    """The process, seen from a test.

    The listening socket is made by the test, so that connections wait in its backlog until the
    process is ready; no test has to. It is closed here at once: only the process keeps it.
    """

    def __init__(self, name: str, listener: socket.socket) -> None:
        self.name = name
        self.host, self.port = listener.getsockname()
        with listener:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.deploy.stand_in", name, str(listener.fileno())],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=_ROOT,
            )

    async def set_ready(self, status: int) -> None:
        """Let ``/health/ready`` answer with ``status`` from now on; asked behind HAProxy's back."""
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"http://{self.host}:{self.port}/stand-in/ready?status={status}"
            (await client.post(url)).raise_for_status()

    def kill(self) -> None:
        """End the process without giving it a chance to say goodbye (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


def _seen(name: str, connection: HTTPConnection) -> dict[str, object]:
    return {
        "name": name,
        "path": connection.url.path,
        "query": connection.url.query,
        "headers": [[key.lower(), value] for key, value in connection.headers.items()],
    }


def build_app(name: str) -> Starlette:
    """Return the application that answers as ``name``."""
    ready = 200

    async def health(_request: Request) -> Response:
        return PlainTextResponse(name, status_code=ready)

    async def set_ready(request: Request) -> Response:
        nonlocal ready
        ready = int(request.query_params["status"])
        return PlainTextResponse("ok")

    async def crash(_request: Request) -> Response:
        os._exit(1)

    async def events(_request: Request) -> Response:
        async def stream() -> AsyncIterator[str]:
            yield f"data: {name}\n\n"
            await asyncio.Event().wait()

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def socket_endpoint(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(_seen(name, socket))
        async for text in socket.iter_text():
            await socket.send_text(text)

    async def anything(request: Request) -> Response:
        return JSONResponse(_seen(name, request))

    return Starlette(
        routes=[
            Route("/health/ready", health),
            Route("/stand-in/ready", set_ready, methods=["POST"]),
            Route("/sessions/{session}/crash", crash, methods=_METHODS),
            Route("/events", events),
            WebSocketRoute("/ws", socket_endpoint),
            Route("/{rest:path}", anything, methods=_METHODS),
        ]
    )


def main() -> None:
    """Serve until killed."""
    name, fd = sys.argv[1], int(sys.argv[2])
    server = uvicorn.Server(
        uvicorn.Config(build_app(name), log_level="warning", proxy_headers=False, lifespan="off")
    )
    server.run(sockets=[socket.socket(fileno=fd)])


if __name__ == "__main__":
    main()
