"""uvicorn's HTTP protocol, with a shortcut for WebSockets that end up as a ``Connection``.

An upgrade request goes through the ASGI app like any other, so middleware and routes see it. But where
uvicorn would build its WebSocket protocol, with a parser, a queue and two events of its own, this puts
a function into the scope: an endpoint calls it to get the transport for a protocol of its own, and
returns. Everything that is not a plain WebSocket request goes uvicorn's own way.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from relay.socket.handshake import Handshake, has_body, is_too_large
from relay.socket.lobby import LOBBY
from relay.socket.upgrade import HAND_OVER, Upgrade

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from relay.socket.lobby import Lobby

CONTROL = "hint_relay.control"
"""The ASGI extension of a plain request: ``scope["extensions"][CONTROL]`` is a ``Control``."""

# Requests that wait behind the one that is being answered. Browsers and load balancers send none; and a
# request of 20 bytes is a KB or two here.
_MAX_PIPELINED = 32

# What a peer has to take of an answer in the time that a request may take, or half of what is left.
_MIN_TAKEN_BYTES = 16 * 1024


class Control:
    """What an endpoint with a long answer can ask of its connection, and be told.

    Attributes:
        on_shutdown: called when the server stops; set it to end the answer.
        is_shut_down: whether that has been, maybe before anybody wanted to know.
        is_bounded: whether ``buffer_at_most`` was called: who does gives slow readers up, too.
    """

    __slots__ = ("_transport", "is_bounded", "is_shut_down", "on_shutdown")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.on_shutdown: Callable[[], None] | None = None
        self.is_shut_down = False
        self.is_bounded = False

    def buffer_at_most(self, high_water_bytes: int) -> None:
        """Let ``send`` wait while more than this has not been taken by the kernel."""
        self.is_bounded = True
        self._transport.set_write_buffer_limits(high=high_water_bytes)

    def shut_down(self) -> None:
        """Tell the endpoint that the server stops."""
        self.is_shut_down = True
        if self.on_shutdown is not None:
            self.on_shutdown()

    def abort(self) -> None:
        """Drop the connection, with what its peer has not taken."""
        self._transport.abort()


class _HeadTooLarge(Exception):
    """Ends the parsing of a request whose head is larger than it may be."""


class _TooManyRequests(Exception):
    """Ends the parsing of requests that came before those in front of them were answered."""


class RelayProtocol(HttpToolsProtocol):
    """Give it to uvicorn as ``http``. What it takes from its base is held by a contract test."""

    _parsing = b""
    _lobby: Lobby | None = None
    _is_in_head = True
    _head_bytes = 0
    _is_head_too_large = False
    # The request that is being answered. The base's ``cycle`` is the newest, which may stand behind it.
    _running: RequestResponseCycle | None = None
    # Looks whether the peer takes what was written.
    _taking: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Remember what is being parsed: a hasty client's first frames may stand behind its request."""
        self._parsing = data
        # Also behind a body: trailers, and extensions of chunks, are as long as their sender wants.
        self._head_bytes += len(data)
        super().data_received(data)
        self._parsing = b""
        lobby, transport = self._lobby, self.transport
        if lobby is None or transport.is_closing() or transport.get_protocol() is not self:
            return
        cycle: RequestResponseCycle | None = self.cycle
        if self._head_bytes > lobby.max_header_bytes:
            self._refuse_head()
        elif self._is_in_head and (cycle is None or cycle.response_complete):
            # What has come begins no request (blank lines do not), and has stopped the base's clock.
            lobby.stay(self)

    def on_message_begin(self) -> None:
        """Wait for a request that has begun, unless too many wait already."""
        if len(self.pipeline) >= _MAX_PIPELINED:
            # One read can bring ten thousand of them, and they would stay until their answers are read.
            if self._lobby is not None:
                self._lobby.refused("pipelined_requests")
            self.pipeline.clear()
            self._close()
            raise _TooManyRequests
        super().on_message_begin()
        self._is_in_head = True
        cycle: RequestResponseCycle | None = self.cycle
        if self._lobby is not None and cycle is not None:
            # The first one has been waited for since the connection was made.
            self._lobby.enter(self)

    def on_headers_complete(self) -> None:
        """Refuse a head that is too large; else wait for what else belongs to the request."""
        self._is_in_head = False
        self._head_bytes = 0
        lobby = self._lobby
        if lobby is not None:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > lobby.max_header_bytes:
                self._is_head_too_large = True
                raise _HeadTooLarge
            lobby.enter(self)
        scope: dict[str, Any] = cast("dict[str, Any]", self.scope)
        scope["extensions"] = {CONTROL: Control(self.transport)}
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count anew: this much was no head."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait no more: the request is here."""
        if self._lobby is not None:
            self._lobby.leave(self)
        # What comes next is the head of another one.
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or has too large a head."""
        if self._is_head_too_large:
            self._refuse_head()
        elif self._is_answering or self.transport.is_closing():
            self._close()
        else:
            super().send_400_response(msg)
            self._close()

    def give_up(self) -> None:
        """Close a connection whose request does not come; see ``lobby.Waiting``."""
        self._say(HTTPStatus.REQUEST_TIMEOUT)
        # A peer that does not read keeps it open for what was written.
        self.loop.call_later(1.0, self.transport.abort)

    def pause_writing(self) -> None:
        """Wait until the peer has taken what was written, and not for ever."""
        super().pause_writing()
        control = self._control
        if control is None or not control.is_bounded:
            self._watch_taking()

    def resume_writing(self) -> None:
        """Go on writing; what is left when the connection closes must still be taken."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_watching()

    def on_response_complete(self) -> None:
        """Go on with the next request, or let the peer take the rest of the last answer."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_taking()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that is not used; its peer may have the rest of the last answer."""
        super().timeout_keep_alive_handler()
        self._watch_taking()

    def _watch_taking(self) -> None:
        """Give the peer up unless it takes what was written; nothing may be written meanwhile.

        A closed transport, too, stays for as long as its peer has not taken everything.
        """
        left = self.transport.get_write_buffer_size()
        if left and self._taking is None and self._lobby is not None:
            self._taking = self.loop.call_later(self._lobby.timeout_s, self._check_taking, left)

    def _check_taking(self, left_before: int) -> None:
        self._taking = None
        taken = left_before - self.transport.get_write_buffer_size()
        if taken >= min(_MIN_TAKEN_BYTES, (left_before + 1) // 2):
            self._watch_taking()
            return
        if self._lobby is not None:
            self._lobby.refused("handshake_timeout_s")
        self.transport.abort()

    def _stop_watching(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_watching()
        if self._lobby is not None:
            self._lobby.leave(self)
        super().connection_lost(exc)
        running = self._running
        if running is not None and not running.response_complete:
            # The base tells only the newest of several requests, and this one would go on for ever.
            running.disconnected = True
            running.message_event.set()
        self._unset_keepalive_if_required()
        self._let_go()

    def _let_go(self) -> None:
        """Let go of what refers to this object, and would wait with it for the garbage collector."""
        self.parser = None  # type: ignore[assignment]
        self.cycle = self._running = None  # type: ignore[assignment]

    def shutdown(self) -> None:
        """Let an endless answer end, because the server stops."""
        super().shutdown()
        control = self._control
        if control is not None:
            control.shut_down()

    def _refuse_head(self) -> None:
        if self._lobby is not None:
            self._lobby.refused("max_header_bytes")
        self._say(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _say(self, status: HTTPStatus) -> None:
        """Answer what is no request, unless an answer is on its way already, and close."""
        if not self._is_answering:
            self.transport.write(_plain_answer(status))
        self._close()

    def _close(self) -> None:
        """Close when the peer has taken what was written, which must not take it long."""
        self.transport.close()
        self._watch_taking()

    @property
    def _is_answering(self) -> bool:
        """Whether an answer has begun and not ended: another one would come in the middle of it."""
        running = self._running
        return running is not None and running.response_started and not running.response_complete

    @property
    def _control(self) -> Control | None:
        """What the request that is being answered was given; None when there is none."""
        running = self._running
        if running is None or running.response_complete:
            return None
        extensions: Any = running.scope.get("extensions") or {}
        control: Control | None = extensions.get(CONTROL)
        return control

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Do what the base does, without asking the kernel seven times who is there.

        The base makes a socket object of every transport for that, which then stays with it.
        """
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server = _address(transport.get_extra_info("sockname"))
        client = _address(transport.get_extra_info("peername"))
        # Only TCP peers have an address.
        self.client = None if client is None or client[1] is None else (client[0], client[1])
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        lobby: Lobby | None = self.app_state.get(LOBBY)
        # Who has no address is gone already, unless it came by a Unix socket.
        is_gone = client is None and isinstance(transport.get_extra_info("sockname"), tuple)
        if is_gone or (lobby is not None and not lobby.admits(client and client[0])):
            # Not even an answer: whoever comes so fast does not read it, and it costs as much again.
            transport.abort()
            return
        self._lobby = lobby
        self.connections.add(self)
        if lobby is not None:
            lobby.enter(self)

    def handle_websocket_upgrade(self) -> None:
        """Take the shortcut if the request is a plain one."""
        if self._lobby is not None:
            self._lobby.leave(self)
        if is_too_large(self.url, cast("list[tuple[bytes, bytes]]", self.scope["headers"])):
            self._refuse_head()
            return
        cycle: RequestResponseCycle | None = self.cycle
        is_pipelined = cycle is not None and not cycle.response_complete
        # Whoever has not taken the last answer yet asks for nothing in earnest.
        is_pipelined = is_pipelined or self._taking is not None
        if is_pipelined or has_body(self.scope["headers"]):
            # The answer to the request before would come in the middle of our frames, the body in the
            # middle of the client's.
            self.send_400_response("Invalid HTTP request received.")
            return
        handshake = None
        if not self.config.ws_per_message_deflate:
            handshake = Handshake.of_request(
                self.scope["method"], self.scope["http_version"], self.scope["headers"]
            )
        # The base is handling the exception by which the parser tells where the request ends.
        request_end = sys.exc_info()[1]
        behind = b""
        if isinstance(request_end, httptools.HttpParserUpgrade):
            behind = self._parsing[request_end.args[0] :]
        if handshake is None:
            super().handle_websocket_upgrade()
            if behind and not self.transport.is_closing():
                cast("asyncio.Protocol", self.transport.get_protocol()).data_received(behind)
            self._let_go()
            return
        try:
            url = httptools.parse_url(self.url)
        except httptools.HttpParserInvalidURLError:
            self.send_400_response("Invalid HTTP request received.")
            return
        self.connections.discard(self)
        # "http://host?query" has none (RFC 9112 section 3.2.2).
        raw_path: bytes = url.path or b"/"
        path = raw_path.decode("ascii")
        scope: dict[str, Any] = {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if self.scheme == "https" else "ws",
            "server": self.server,
            "client": self.client,
            "root_path": self.root_path,
            "path": self.root_path + (unquote(path) if "%" in path else path),
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": url.query or b"",
            "headers": self.scope["headers"],
            "subprotocols": handshake.subprotocols,
            "state": self.app_state.copy(),
        }
        upgrade = Upgrade(self.config, self.server_state, self.transport, handshake)
        scope["extensions"] = {"websocket.http.response": {}, HAND_OVER: upgrade.hand_over}
        self.transport.set_protocol(upgrade)
        if behind:
            upgrade.data_received(behind)
        upgrade.run(scope)
        self._let_go()


def _plain_answer(status: HTTPStatus) -> bytes:
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
    return head.encode()


def _address(name: Any) -> tuple[str, int | None] | None:
    """Return a socket's name as ASGI has it: host and port, or a Unix socket's path and None."""
    if isinstance(name, tuple):
        return str(name[0]), int(name[1])
    return (name, None) if isinstance(name, str) and name else None
