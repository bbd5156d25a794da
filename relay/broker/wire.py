"""One subscriber's connection to Redis: commands out, messages in, nothing awaited.

redis-py's ``PubSub`` costs two to three times the CPU for each message, resubscribes without telling
anybody what was lost, and can't be asked whether it still delivers; so the subscription, and only it,
speaks RESP2 itself, with hiredis to parse.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import hiredis
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from relay.errors import BrokerError, BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

# Names in one SUBSCRIBE: Redis answers each, and one huge command would hold up all others.
_BATCH = 512


class WireListener(Protocol):
    """What a wire tells its owner; all calls come from the event loop, in Redis' order."""

    def wire_message(self, channel: str, payload: bytes) -> None:
        """A message was published on a subscribed channel."""

    def wire_drained(self) -> None:
        """All messages that came at once have been told."""

    def wire_subscribed(self, channel: str) -> None:
        """Redis has confirmed one SUBSCRIBE of the channel: nothing from here on is missed."""

    def wire_lost(self, error: Exception | None) -> None:
        """The connection is gone; nothing follows."""


class Subscriber(Protocol):
    """What a wire does for its owner."""

    def subscribe(self, channels: Iterable[str]) -> None:
        """Ask for channels; each is confirmed by ``wire_subscribed``."""

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Leave channels; messages that are under way still arrive."""

    def abort(self) -> None:
        """Drop the connection at once; the listener hears nothing more, not even ``wire_lost``."""


class ConnectWire(Protocol):
    """How a wire is made; ``Wire.connect`` is one."""

    async def __call__(
        self, address: Address, listener: WireListener, *, timeout_s: float
    ) -> Subscriber:
        """Connect and log in, or raise BrokerUnavailable."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is, and how to log in.

    Attributes:
        host: a name or an IP address; not used with ``path``.
        port: a TCP port.
        path: a Unix domain socket.
        tls: how to encrypt; None for plain TCP.
        credentials: the arguments of AUTH: (password,), (user, password) or ().
    """

    host: str
    port: int
    path: str | None
    tls: ssl.SSLContext | None
    credentials: tuple[str, ...]

    @classmethod
    def of_url(cls, url: str) -> Address:
        """Read redis://, rediss:// or unix://, with the same query parameters as redis-py."""
        options = cast("dict[str, Any]", parse_url(url))
        kind = options.get("connection_class")
        password = options.get("password")
        user = options.get("username")
        credentials: tuple[str, ...] = ()
        if password is not None:
            credentials = (password,) if user is None else (user, password)
        return cls(
            host=options.get("host", "localhost"),
            port=options.get("port", 6379),
            path=options.get("path") if kind is UnixDomainSocketConnection else None,
            tls=_tls(options) if kind is SSLConnection else None,
            credentials=credentials,
        )

    def __str__(self) -> str:
        """Say where it is, without the credentials."""
        return self.path or f"{self.host}:{self.port}"


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=options.get("ssl_ca_certs"), cadata=options.get("ssl_ca_data")
    )
    if options.get("ssl_certfile"):
        context.load_cert_chain(
            options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password")
        )
    context.check_hostname = bool(options.get("ssl_check_hostname", True))
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Wire(asyncio.Protocol):
    """A subscriber's connection. Make one with ``connect``; it can't be used again once lost."""

    def __init__(self, listener: WireListener) -> None:
        self._listener = listener
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._login: asyncio.Future[None] | None = None
        self._lost = False

    @classmethod
    async def connect(cls, address: Address, listener: WireListener, *, timeout_s: float) -> Wire:
        """Connect and log in.

        Raises:
            BrokerUnavailable: when that fails or takes longer than ``timeout_s``; the listener then
                hears nothing.
        """
        loop = asyncio.get_running_loop()
        wire = cls(listener)
        try:
            async with asyncio.timeout(timeout_s):
                if address.path is not None:
                    await loop.create_unix_connection(lambda: wire, address.path)
                else:
                    await loop.create_connection(
                        lambda: wire, address.host, address.port, ssl=address.tls
                    )
                await wire._log_in(address.credentials)
        except (OSError, TimeoutError, BrokerError) as error:
            wire.abort()
            reason = str(error) or "no answer in time"
            raise BrokerUnavailable(f"no subscription to Redis at {address}: {reason}") from error
        except BaseException:
            wire.abort()
            raise
        return wire

    def subscribe(self, channels: Iterable[str]) -> None:
        """Ask for channels; each is confirmed by ``wire_subscribed``."""
        self._command_in_batches("SUBSCRIBE", channels)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Leave channels; messages that are under way still arrive."""
        self._command_in_batches("UNSUBSCRIBE", channels)

    def abort(self) -> None:
        """Drop the connection at once; the listener hears nothing more, not even ``wire_lost``."""
        self._lost = True
        if self._transport is not None:
            self._transport.abort()

    async def _log_in(self, credentials: tuple[str, ...]) -> None:
        if not credentials:
            return
        self._login = asyncio.get_running_loop().create_future()
        self._command("AUTH", *credentials)
        await self._login
        self._login = None

    def _command_in_batches(self, command: str, channels: Iterable[str]) -> None:
        names = list(channels)
        for start in range(0, len(names), _BATCH):
            self._command(command, *names[start : start + _BATCH])

    def _command(self, *words: str) -> None:
        if self._transport is not None and not self._lost:
            # hiredis' own stubs take a tuple of one word only.
            self._transport.write(hiredis.pack_command(cast("Any", words)))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came and hand out each message at once."""
        reader = self._reader
        listener = self._listener
        try:
            reader.feed(data)
            reply = reader.gets()
            # False is hiredis' word for "incomplete": RESP2 has no booleans.
            while reply is not False:
                if self._lost:
                    return
                if type(reply) is list and reply[0] == b"message":
                    listener.wire_message(reply[1].decode(), reply[2])
                else:
                    self._reply(reply)
                reply = reader.gets()
            listener.wire_drained()
        except hiredis.ProtocolError as error:
            self._fail(BrokerUnavailable(f"Redis sent something that is not RESP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner, unless it dropped the connection itself."""
        if self._login is not None and not self._login.done():
            self._login.set_exception(BrokerUnavailable("Redis closed the connection"))
        elif not self._lost:
            self._lost = True
            self._listener.wire_lost(exc)

    def _reply(self, reply: Any) -> None:
        match reply:
            case [b"subscribe", bytes(channel), _]:
                self._listener.wire_subscribed(channel.decode())
            case [b"unsubscribe", *_]:
                pass
            case hiredis.ReplyError() if self._login is not None and not self._login.done():
                self._login.set_exception(BrokerError(f"Redis refuses the credentials: {reply}"))
            case hiredis.ReplyError():
                self._fail(BrokerUnavailable(f"Redis refuses the subscription: {reply}"))
            case _ if self._login is not None and not self._login.done():
                self._login.set_result(None)
            case _:
                self._fail(BrokerUnavailable("Redis answered out of turn"))

    def _fail(self, error: Exception) -> None:
        if not self._lost:
            self.abort()
            self._listener.wire_lost(error)
