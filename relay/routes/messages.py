"""``/sessions/<session>/…``: publishing, reading and looking over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from relay.broker import keys
from relay.contribution import Contribution, Sighting
from relay.errors import (
    BrokerError,
    BrokerFull,
    BrokerUnavailable,
    HintRelayError,
    KeysUnavailable,
    RateLimited,
    RequestError,
    UnknownHint,
)
from relay.gate import Credentials
from relay.identity import identify
from relay.position import Position
from relay.publish_request import (
    IdempotencyKey,
    Publishing,
    WrongMessage,
    check_one,
    parse_body,
)
from relay.rates import Rates
from relay.routes.problem import make_problem, pointer_of, problem
from relay.session import check_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.types import Receive, Scope, Send

    from relay.auth.grant import Grant
    from relay.broker.broker import Broker
    from relay.broker.presence import PresenceBoard
    from relay.gate import Gate
    from relay.hub import Hub
    from relay.identity import Identity
    from relay.inbox import Inbox
    from relay.metrics import Metrics
    from relay.settings import Settings
    from relay.socket.records import Records

DEFAULT_LIMIT = 100
# A page of history ends with the message that passes this.
_HISTORY_BYTES = 1024 * 1024
_AWAY = "Redis is away: this may or may not have been done. Ask again, under the same key or ids."
# So much of such an answer is given to the server at a time: what its reader takes makes room for more.
_PIECE_BYTES = 64 * 1024
_NO_STORE = {"cache-control": "no-store"}


class _Asker(NamedTuple):
    """Who asks, for which session."""

    session: str
    grant: Grant
    who: Identity
    counted_as: str | None

    @property
    def rate_name(self) -> str:
        """Whose rate it is counted towards."""
        if self.grant.holder is not None:
            return self.grant.holder
        return f"{self.who.name if self.who.is_lasting else ''}@{self.counted_as or ''}"


class _Refused(Exception):
    """An answer that is ready: the request went no further."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer
        super().__init__()


class _History(Response):
    """A large answer, which tells when its reader has taken nearly all of it, or has gone."""

    def __init__(self, body: bytes, on_end: Callable[[], None]) -> None:
        super().__init__(body, headers=_NO_STORE, media_type="application/json")
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it in pieces."""
        del scope, receive
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            for at in range(0, len(self.body), _PIECE_BYTES):
                piece = self.body[at : at + _PIECE_BYTES]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._on_end()


class SessionEndpoints:
    """A session over plain HTTP; each method answers one request.

    Args:
        broker: publishes and reads.
        presence: who is watching.
        hub: has the sessions that are open here.
        inbox: publishes what facilitators send.
        gate: says who may ask.
        records: is told of whom was refused.
        settings: bounds and rates.
        metrics: is told what happens.
        clock_s: a clock that does not step back.
    """

    def __init__(
        self,
        broker: Broker,
        presence: PresenceBoard,
        hub: Hub,
        inbox: Inbox,
        gate: Gate,
        records: Records,
        settings: Settings,
        metrics: Metrics,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._presence = presence
        self._hub = hub
        self._inbox = inbox
        self._gate = gate
        self._records = records
        self._settings = settings
        self._metrics = metrics
        self._clock_s = clock_s
        self._published = Rates(settings.publications_per_s, settings.publication_burst)
        self._contributed = Rates(settings.inbound_per_s, settings.inbound_burst)
        self._histories: Counter[str] = Counter()

    async def messages(self, request: Request) -> Response:
        """``/sessions/<session>/messages``: POST publishes, GET reads what is kept, a page at a time."""
        return await self._answered(
            request, self._publish if request.method == "POST" else self._read
        )

    async def look(self, request: Request) -> Response:
        """``GET /sessions/<session>/presence``: who is watching."""
        return await self._answered(request, self._look)

    async def disconnect(self, request: Request) -> Response:
        """``POST /sessions/<session>/disconnect``: end somebody's connections, or everybody's."""
        return await self._answered(request, self._disconnect)

    # The way that all go

    async def _answered(
        self, request: Request, act: Callable[[Request, _Asker], Awaitable[Response]]
    ) -> Response:
        try:
            return await act(request, await self._asker(request))
        except _Refused as refused:
            return refused.answer
        except WrongMessage as error:
            self._records.refused_request(self._client_of(request), error.error)
            return problem(error.error, errors=[pointer_of(error)])
        except (RequestError, KeysUnavailable) as error:
            self._records.refused_request(self._client_of(request), error)
            return problem(error)
        except BrokerError as error:
            return self._failed(request, error)
        except ClientDisconnect:
            # Nobody will read it.
            return Response(status_code=HTTPStatus.BAD_REQUEST)

    def _failed(self, request: Request, error: BrokerError, **more: Any) -> Response:
        """Say that Redis could not; what it says of the network and its users is for the log."""
        client = self._client_of(request)
        self._records.failed_request(client, request.path_params["session"], error)
        return problem(error if isinstance(error, BrokerFull) else BrokerUnavailable(_AWAY), **more)

    def _client_of(self, request: Request) -> str | None:
        """Return who asks, for the log: behind a load balancer the peer tells nothing."""
        return self._gate.addresses.of(_peer_of(request), request.scope["headers"]).client

    async def _asker(self, request: Request) -> _Asker:
        address = self._gate.knock(_peer_of(request), request.scope["headers"])
        query = request.query_params
        grant = await self._gate.check(Credentials(request.scope["headers"], query.get("token")))
        session = check_session(request.path_params["session"])
        grant.check_session(session)
        who = identify(query.get("guest"), grant.subject, is_watching=grant.is_watching)
        return _Asker(session, grant, who, address.counted_as)

    # What each does

    async def _publish(self, request: Request, asker: _Asker) -> Response:
        body = await self._body(request, asker)
        header = request.headers.get("idempotency-key")
        owner = asker.grant.holder or (asker.who.name if asker.who.is_lasting else None)
        key = None if header is None else IdempotencyKey.of(header, owner, body)
        items, is_array = self._items(body, key, asker)
        self._check_rate(asker, items)
        await self._check_hints(asker, items, is_array=is_array)
        dedupe_s: float | None = None
        if key is not None:
            dedupe_s = self._settings.log_ttl_s
            if not await self._broker.note_request(
                asker.session, key.name, key.fingerprint, for_s=dedupe_s
            ):
                return make_problem(
                    HTTPStatus.CONFLICT,
                    "conflict",
                    "This Idempotency-Key was used for another request: make a new one.",
                )
        done: list[dict[str, Any]] = []
        try:
            for item in items:
                done.append(await self._settle(item, asker, dedupe_s))  # noqa: PERF401 - kept on failure
        except HintRelayError as error:
            # What has been published stays; the same request again publishes the rest.
            more = {"messages": done} if done else {}
            if isinstance(error, BrokerError):
                return self._failed(request, error, **more)
            return problem(error, **more)
        return _json({"messages": done})

    def _items(
        self, body: bytes, key: IdempotencyKey | None, asker: _Asker
    ) -> tuple[list[Publishing | Contribution | Sighting], bool]:
        messages, is_array = parse_body(body)
        items: list[Publishing | Contribution | Sighting] = []
        now_s = time.time()
        for index, fields in enumerate(messages):
            try:
                item = check_one(
                    fields,
                    grant=asker.grant,
                    who=asker.who,
                    given_id=None if key is None else key.id_of(index),
                    now_s=now_s,
                    max_bytes=self._settings.max_publication_bytes,
                )
            except RequestError as error:
                raise WrongMessage(index if is_array else None, error) from None
            items.append(item)
        return items, is_array

    def _check_rate(self, asker: _Asker, items: list[Publishing | Contribution | Sighting]) -> None:
        published = sum(isinstance(item, Publishing) for item in items)
        for rates, limit, count, most in (
            (
                self._contributed,
                "inbound_per_s",
                len(items) - published,
                self._settings.inbound_burst,
            ),
            (
                self._published,
                "publications_per_s",
                published,
                self._settings.publication_burst,
            ),
        ):
            if count > most:
                self._metrics.limits.labels(limit).inc()
                raise RequestError(f"A request may have at most {most} of these messages.")
            wait_ms = rates.take(asker.rate_name, self._clock_s(), count) if count else 0
            if wait_ms:
                self._metrics.limits.labels(limit).inc()
                raise RateLimited(wait_ms)

    async def _check_hints(
        self, asker: _Asker, items: list[Publishing | Contribution | Sighting], *, is_array: bool
    ) -> None:
        """Refuse what names a hint that the session does not have, before anything is published."""
        wanted = {hint for item in items if not isinstance(item, Publishing) for hint in item.hints}
        if not wanted:
            return
        with self._hub.visit(asker.session) as room:
            known = await room.known_hints(wanted)
        for index, item in enumerate(items):
            if isinstance(item, Publishing):
                if item.dedupe_id == f"hint:{item.id}":
                    # What stands behind a hint in the same request may name it.
                    known.add(item.id)
            elif item.hints and known.isdisjoint(item.hints):
                raise WrongMessage(
                    index if is_array else None,
                    UnknownHint(asker.session),
                    "hints" if isinstance(item, Sighting) else "hint",
                )

    async def _settle(
        self, item: Publishing | Contribution | Sighting, asker: _Asker, dedupe_s: float | None
    ) -> dict[str, Any]:
        if isinstance(item, Publishing):
            published = await self._broker.publish(
                asker.session, item.payload, item.dedupe_id, dedupe_s=dedupe_s
            )
            self._metrics.published.labels("http").inc()
            message_id: str | None = item.id
        else:
            with self._hub.visit(asker.session) as room:
                if isinstance(item, Sighting):
                    await self._inbox.note_seen(room, asker.who.name, item)
                    return {"id": item.ref, "position": None, "duplicate": False}
                published = await self._inbox.publish(room, item)
            message_id = item.ref
        return {
            "id": message_id,
            "position": str(published.position),
            "duplicate": not published.new,
        }

    async def _read(self, request: Request, asker: _Asker) -> Response:
        query = request.query_params
        since_text = query.get("since") or None
        since = None if since_text is None else Position.parse(since_text)
        most = self._settings.max_history
        text = query.get("limit", str(min(DEFAULT_LIMIT, most)))
        is_number = text.isascii() and text.isdigit() and len(text) <= 9
        if not is_number or not 0 < int(text) <= most:
            if is_number and int(text):
                self._metrics.limits.labels("max_history").inc()
            raise RequestError(f"'limit' is a whole number from 1 to {most}.")
        with ExitStack() as until_sent:
            until_sent.enter_context(self._one_more_history(asker.rate_name))
            log, more = await self._broker.read_some(
                asker.session, since, max_messages=int(text), max_bytes=_HISTORY_BYTES
            )
            recovered = None if since is None else log.reaches_back_to(since)
            head = b"null" if log.head is None else b'"%b"' % str(log.head).encode()
            # The messages as they are kept: reading and writing them again would cost much more.
            body = b'{"messages":[%b],"position":%b,"recovered":%b,"more":%b}' % (
                b",".join(publication.utf8 for publication in log.publications),
                head,
                orjson.dumps(recovered),
                orjson.dumps(more),
            )
            return _History(body, until_sent.pop_all().close)

    @contextmanager
    def _one_more_history(self, name: str) -> Iterator[None]:
        """Count an answer that is on its way: whoever does not read would fill the memory with them."""
        if self._histories[name] >= self._settings.max_history_answers:
            raise self._gate.limited("max_history_answers", 1000)
        self._histories[name] += 1
        try:
            yield
        finally:
            self._histories[name] -= 1
            if not self._histories[name]:
                del self._histories[name]

    async def _look(self, _request: Request, asker: _Asker) -> Response:
        watching = await self._presence.look(asker.session)
        message = orjson.loads(watching.message)
        return _json({"facilitators": watching.facilitators, "who": message.get("who", [])})

    async def _disconnect(self, request: Request, asker: _Asker) -> Response:
        if not asker.grant.may_publish:
            return make_problem(
                HTTPStatus.FORBIDDEN, "forbidden", "Your token's role may not end connections."
            )
        body = await self._body(request, asker)
        messages, is_array = parse_body(body)
        asked = messages[0]
        # Strictly: a name that is missing by mistake must not end everybody's.
        is_clear = not asked or (
            asked.keys() == {"who"} and isinstance(asked["who"], str) and asked["who"]
        )
        if is_array or not is_clear:
            raise RequestError("The body is to be {'who': a name as in presence}, or {} for all.")
        order = {"type": "kick", **asked}
        relays = await self._broker.publish_live(keys.channel(asker.session), orjson.dumps(order))
        return _json({"relays": relays}, HTTPStatus.ACCEPTED)

    async def _body(self, request: Request, asker: _Asker) -> bytes:
        """Return the body, within its bounds of size and time, of who may still send it then."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            # Also because a page of another origin can send everything else without being asked.
            raise _Refused(
                make_problem(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    "bad_request",
                    "The body is to be JSON: 'Content-Type: application/json'.",
                )
            )
        most = self._settings.max_body_bytes
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > most:
            raise self._too_large(most)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._settings.handshake_timeout_s):
                async for part in request.stream():
                    size += len(part)
                    if size > most:
                        raise self._too_large(most)
                    parts.append(part)
        except TimeoutError:
            self._metrics.limits.labels("handshake_timeout_s").inc()
            late = make_problem(
                HTTPStatus.REQUEST_TIMEOUT, "timeout", "The body did not come in time."
            )
            # What would still come of it must not be taken for another request.
            late.headers["connection"] = "close"
            raise _Refused(late) from None
        self._gate.check_again(asker.grant)
        return b"".join(parts)

    def _too_large(self, most: int) -> _Refused:
        self._metrics.limits.labels("max_body_bytes").inc()
        # What still comes of it is dropped, for as long as the lobby lets it come: closing at once would
        # take the answer away from a client that reads only when it has sent everything.
        return _Refused(
            make_problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too_large",
                f"The body has more than {most:,} bytes: send less at once.",
            )
        )


def _peer_of(request: Request) -> str | None:
    return request.client.host if request.client else None


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(orjson.dumps(value), status, _NO_STORE, media_type="application/json")
