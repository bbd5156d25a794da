"""``GET /openapi.json``: what there is over HTTP, for machines (OpenAPI 3.1)."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from relay.publish_request import MAX_MESSAGES
from relay.routes.messages import DEFAULT_LIMIT
from relay.routes.openapi_schemas import NAME_PATTERN, SESSION_PATTERN, problem_codes, schemas

if TYPE_CHECKING:
    from starlette.requests import Request

    from relay.settings import Settings

Json = dict[str, Any]

_DESCRIPTION = """\
Carries an agent's hints to the people who facilitate a live session. Facilitators read over a WebSocket \
(`GET /ws`, which this format can't describe) or over Server-Sent Events; the protocol of both, what the \
messages mean, and how a position is kept stand in docs/PROTOCOL.md.

What is refused is a problem (RFC 9457). What is no HTTP request at all, or does not come in time, is \
answered before any of this with 400, 408 or 431, and the connection is closed."""

_OPEN = "This relay asks for no tokens."
_CLOSED = (
    "A JWT whose `sessions` allow the session; its `role` says what its holder may do. It can also be "
    "sent as `?token=`, which may end up in logs."
)

# What a problem's status means, wherever it comes.
_PROBLEMS: dict[str, tuple[str, str]] = {
    "400": ("BadRequest", "A parameter, a header or the body is not what it has to be."),
    "401": ("Unauthorized", "The token is missing, not good, expired or revoked."),
    "403": (
        "Forbidden",
        "The token is not for this session, its role not for this, or the page's origin not allowed.",
    ),
    "404": (
        "NotFound",
        "There is nothing at this address, or the session has no hint with this id.",
    ),
    "408": ("Timeout", "The body did not come in time."),
    "409": ("Conflict", "The Idempotency-Key was used for another body."),
    "413": ("TooLarge", "The body, or a message in it, has more bytes than are taken."),
    "415": ("NotJson", "The body is not announced as application/json."),
    "422": ("BadMessage", "A message breaks a rule; `errors` says which field of which message."),
    "429": ("TooMany", "Too many requests or messages: come back after the time that is told."),
    "500": ("Failed", "The relay failed; its log says why."),
    "503": (
        "Unavailable",
        "Redis, or the issuer of tokens, is away. What was sent may or may not have been published; "
        "`messages` are those that have been. The same request again is safe under its ids or its key.",
    ),
}
_ALL = ("400", "403", "404", "429", "500", "503")
_WITH_BODY = ("408", "413", "415", "422")


class OpenApiEndpoint:
    """Answers what ``describe`` returns; it is built for the first who asks.

    Args:
        settings: those of the relay that is described.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._body: bytes | None = None

    async def answer(self, request: Request) -> Response:
        """Answer the document."""
        del request
        if self._body is None:
            self._body = orjson.dumps(describe(self._settings))
        # It changes with the relay's version and settings only.
        headers = {"cache-control": "public, max-age=300"}
        return Response(self._body, headers=headers, media_type="application/json")


def describe(settings: Settings) -> Json:
    """Return the document for a relay with these settings; pure, and the same each time."""
    has_tokens = settings.asks_for_tokens
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Hint Relay",
            "version": version("hint-relay"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [
            {"name": "session", "description": "A session; its log, and who is in it."},
            {"name": "operation", "description": "How this worker is."},
        ],
        "paths": {
            "/sessions/{session}/messages": {
                "parameters": [_ref("parameters", "session"), _ref("parameters", "guest")],
                "get": _read(settings),
                "post": _publish(settings),
            },
            "/sessions/{session}/presence": {
                "parameters": [_ref("parameters", "session"), _ref("parameters", "guest")],
                "get": _look(has_tokens=has_tokens),
            },
            "/sessions/{session}/disconnect": {
                "parameters": [_ref("parameters", "session"), _ref("parameters", "guest")],
                "post": _disconnect(has_tokens=has_tokens),
            },
            "/events": {"get": _events(has_tokens=has_tokens)},
            "/health/live": {"get": _live()},
            "/health/ready": {"get": _ready()},
            "/metrics": {"get": _metrics()},
            "/openapi.json": {"get": _openapi()},
        },
        "components": {
            "schemas": schemas(),
            "parameters": _parameters(has_tokens=has_tokens),
            "headers": _headers(),
            "responses": {
                name: _problem_response(status, text) for status, (name, text) in _PROBLEMS.items()
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": _CLOSED if has_tokens else f"{_OPEN} {_CLOSED}",
                }
            },
        },
    }
    return document


# Operations


def _publish(settings: Settings) -> Json:
    return _of_session(
        "publish",
        "Publish one message, or several in their order",
        (
            "Either all are good, or none is published. Agents send hints that are whole, transcripts, "
            "errors and types of their own; facilitators feedback, commands and what they have seen."
        ),
        {"200": _answer("Published", "Where each stands, in the order of the request.")},
        has_tokens=settings.asks_for_tokens,
        more=("409", *_WITH_BODY),
        parameters=[_ref("parameters", "idempotencyKey")],
        requestBody=_body(
            {
                "oneOf": [
                    _ref("schemas", "Message"),
                    {
                        "type": "array",
                        "items": _ref("schemas", "Message"),
                        "minItems": 1,
                        "maxItems": MAX_MESSAGES,
                    },
                ]
            },
            f"At most {settings.max_body_bytes:,} bytes, each message at most "
            f"{settings.max_publication_bytes:,}.",
            hint={
                "type": "hint",
                "text": "Ask what the letter smelled like.",
                "priority": "high",
                "source": "coach",
            },
            several=[
                {"type": "transcript", "text": "I never opened it.", "speaker": "Mara"},
                {"type": "hint", "id": "h-1", "text": "Let her finish."},
            ],
            command={
                "type": "command",
                "id": "0b6e5a51-1f2f-4c58-9a5e-0d5f4f3c2b02",
                "name": "steer",
                "text": "More about the second act, please.",
            },
        ),
    )


def _read(settings: Settings) -> Json:
    most = settings.max_history
    return _of_session(
        "read",
        "Read what is kept, a page at a time",
        "With `more`, go on with `since` = the position of the last message.",
        {"200": _answer("History", "Messages as they stand in the log, oldest first.")},
        has_tokens=settings.asks_for_tokens,
        parameters=[
            _ref("parameters", "since"),
            {
                "name": "limit",
                "in": "query",
                "description": "How many messages; a page of more than about 1 MiB ends earlier.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": most,
                    "default": min(DEFAULT_LIMIT, most),
                },
            },
        ],
    )


def _look(*, has_tokens: bool) -> Json:
    return _of_session(
        "look",
        "See who is watching",
        "Over all relays; up to 64 of them by name.",
        {"200": _answer("Presence", "Who is watching now.")},
        has_tokens=has_tokens,
    )


def _disconnect(*, has_tokens: bool) -> Json:
    return _of_session(
        "disconnect",
        "End somebody's connections, or everybody's",
        "On all relays, with close code 4103. For agents.",
        {"202": _answer("Disconnecting", "How many relays were told.")},
        has_tokens=has_tokens,
        more=_WITH_BODY,
        requestBody=_body(
            _ref("schemas", "Disconnect"),
            "Whose; without a name everybody's.",
            one={"who": "guest-7f3a9c"},
            everybody={},
        ),
    )


def _events(*, has_tokens: bool) -> Json:
    stream = {
        "description": (
            "Each event is a message, its `data` the JSON, its `id` a position from which resuming is "
            "right. `event: close` says why the relay ends the stream, as a WebSocket's close code."
        ),
        "headers": {"Cache-Control": _ref("headers", "NoStore")},
        "content": {
            "text/event-stream": {
                "schema": _ref("schemas", "Event"),
                "example": {
                    "id": "1763900000000-44",
                    "data": (
                        '{"type":"connection","status":"connected","session":"demo",'
                        '"position":"1763900000000-44","recovered":null,"snapshot":0,"heartbeat_s":10.0}'
                    ),
                },
            }
        },
    }
    return _of_session(
        "events",
        "Read a session live, as Server-Sent Events",
        "What `/ws` brings, for places that WebSockets don't get through to.",
        {"200": stream},
        has_tokens=has_tokens,
        parameters=[
            {**_SESSION, "in": "query"},
            _ref("parameters", "since"),
            _ref("parameters", "replay"),
            _ref("parameters", "guest"),
            _ref("parameters", "lastEventId"),
        ],
    )


def _live() -> Json:
    return _operation(
        "live",
        "Ask whether the worker runs",
        "Restarting helps only when it does not.",
        {"200": _answer("Live", "It does.")},
    )


def _ready() -> Json:
    return _operation(
        "ready",
        "Ask whether a facilitator would be served well here",
        "That needs Redis, both ways.",
        {"200": _answer("Ready", "Yes."), "503": _answer("Ready", "No; `problems` says why.")},
    )


def _metrics() -> Json:
    text = {"text/plain": {"schema": {"type": "string"}}}
    return _operation(
        "metrics",
        "Read the worker's metrics",
        "In Prometheus' text format; for private addresses, and not through a proxy.",
        {
            "200": {
                "description": "All of them.",
                "headers": {"Cache-Control": _ref("headers", "NoStore")},
                "content": text,
            },
            "404": _ref("responses", "NotFound"),
        },
    )


def _openapi() -> Json:
    return _operation(
        "openapi",
        "Read this document",
        "It tells this relay's own limits.",
        {
            "200": {
                "description": "OpenAPI 3.1.",
                "content": {
                    "application/json": {"schema": {"type": "object", "required": ["openapi"]}}
                },
            }
        },
    )


def _of_session(
    name: str,
    summary: str,
    description: str,
    responses: Json,
    *,
    has_tokens: bool,
    more: tuple[str, ...] = (),
    **fields: Any,
) -> Json:
    refused = sorted({*_ALL, *more, *(("401",) if has_tokens else ())})
    return {
        **_operation(name, summary, description, responses, tag="session"),
        "security": [{"bearer": []}] if has_tokens else [],
        **fields,
        "responses": {
            **responses,
            **{status: _ref("responses", _PROBLEMS[status][0]) for status in refused},
        },
    }


def _operation(
    name: str, summary: str, description: str, responses: Json, *, tag: str = "operation"
) -> Json:
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "description": description,
        "security": [],
        "responses": responses,
    }


# Parts of them


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _answer(schema: str, description: str) -> Json:
    return {
        "description": description,
        "headers": {"Cache-Control": _ref("headers", "NoStore")},
        "content": {"application/json": {"schema": _ref("schemas", schema)}},
    }


def _body(schema: Json, description: str, **examples: Any) -> Json:
    return {
        "required": True,
        "description": description,
        "content": {
            "application/json": {
                "schema": schema,
                "examples": {name: {"value": value} for name, value in examples.items()},
            }
        },
    }


def _problem_response(status: str, description: str) -> Json:
    headers: Json = {"Cache-Control": _ref("headers", "NoStore")}
    if status == "401":
        headers["WWW-Authenticate"] = _ref("headers", "Challenge")
    if status in ("429", "503"):
        headers["Retry-After"] = _ref("headers", "RetryAfter")
    codes = problem_codes(status)
    return {
        "description": description,
        "headers": headers,
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [
                        _ref("schemas", "Problem"),
                        {
                            "properties": {
                                "status": {"const": int(status)},
                                "code": {"enum": codes},
                            }
                        },
                    ]
                }
            }
        },
    }


_SESSION: Json = {
    "name": "session",
    "in": "path",
    "required": True,
    "description": "Which session.",
    "schema": {"type": "string", "pattern": SESSION_PATTERN},
    "example": "demo",
}


def _parameters(*, has_tokens: bool) -> dict[str, Json]:
    # Empty is as good as none, for pages that build addresses of parts.
    empty = {"const": ""}
    position = {"anyOf": [_ref("schemas", "Position"), empty]}
    return {
        "session": _SESSION,
        "guest": {
            "name": "guest",
            "in": "query",
            "description": (
                "The name that somebody without a token's `sub` gives itself: 1 to 64 of `A-Za-z0-9_-`."
            ),
            # With a `sub` nobody looks at it, whatever it is.
            "schema": {"type": "string", **({} if has_tokens else {"pattern": NAME_PATTERN})},
            "example": "7f3a9c",
        },
        "since": {
            "name": "since",
            "in": "query",
            "description": "The position after which to begin; without it, with all that is kept.",
            "schema": position,
            "example": "1763900000000-42",
        },
        "replay": {
            "name": "replay",
            "in": "query",
            "description": "Without `since`: how many of the newest kept messages come first.",
            "schema": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 999_999_999}, empty]},
            "example": 50,
        },
        "lastEventId": {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The id of the last event that was read; wins over `since`.",
            "schema": position,
            "example": "1763900000000-42",
        },
        "idempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": (
                "1 to 128 visible ASCII characters, unique for this request: the same request again "
                "changes nothing, and publishes what was not published then."
            ),
            "schema": {"type": "string", "pattern": r"^[!-~]{1,128}$"},
            "example": "3f0d9f64-3c5e-4e0b-8f5c-1f2d7b3a9c11",
        },
    }


def _headers() -> dict[str, Json]:
    return {
        "NoStore": {"required": True, "schema": {"type": "string", "const": "no-store"}},
        "Challenge": {
            "required": True,
            "schema": {"type": "string", "const": 'Bearer realm="hint-relay"'},
        },
        "RetryAfter": {
            "required": True,
            "description": "In seconds; `retry_after_ms` of the body says it more exactly.",
            "schema": {"type": "integer", "minimum": 1},
        },
    }
