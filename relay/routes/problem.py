"""Refusals over HTTP: problem details (RFC 9457)."""

from __future__ import annotations

import math
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from relay.errors import (
    BrokerError,
    Forbidden,
    HintRelayError,
    InvalidMessage,
    KeysUnavailable,
    LimitReached,
    MessageTooLarge,
    RateLimited,
    RequestError,
    TextTooLong,
    Unauthorized,
    UnknownHint,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.publish_request import WrongMessage


_MEDIA_TYPE = "application/problem+json"
_UNAVAILABLE_RETRY_S = 2
_PLACES_RETRY_S = 30
# The first that fits.
_STATUSES: tuple[tuple[tuple[type[HintRelayError], ...], HTTPStatus], ...] = (
    ((Unauthorized,), HTTPStatus.UNAUTHORIZED),
    ((Forbidden,), HTTPStatus.FORBIDDEN),
    ((UnknownHint,), HTTPStatus.NOT_FOUND),
    ((LimitReached, RateLimited), HTTPStatus.TOO_MANY_REQUESTS),
    ((MessageTooLarge, TextTooLong), HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ((InvalidMessage,), HTTPStatus.UNPROCESSABLE_ENTITY),
    ((RequestError,), HTTPStatus.BAD_REQUEST),
    ((KeysUnavailable, BrokerError), HTTPStatus.SERVICE_UNAVAILABLE),
)


def problem(
    error: HintRelayError, *, errors: Sequence[Mapping[str, str]] = (), **more: Any
) -> Response:
    """Return the answer that tells what is wrong.

    Args:
        error: what was raised.
        errors: one for each field that is wrong: ``pointer`` (RFC 6901) and ``detail``.
        more: further members.
    """
    retry_after_ms = getattr(error, "retry_after_ms", None)
    status = _status_of(error)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        retry_after_ms = _UNAVAILABLE_RETRY_S * 1000
    elif status is HTTPStatus.TOO_MANY_REQUESTS and retry_after_ms is None:
        # When somebody else leaves, nobody knows.
        retry_after_ms = _PLACES_RETRY_S * 1000
    text, code = str(error), getattr(error, "code", "unavailable")
    if errors:
        more["errors"] = list(errors)
    if retry_after_ms is not None:
        more["retry_after_ms"] = retry_after_ms
    return make_problem(status, code, text, **more)


def pointer_of(error: WrongMessage) -> dict[str, str]:
    """Return which field of which message is wrong (RFC 6901)."""
    text = str(error.error)
    match = re.match(r"'([^']{1,100})'", text)
    path = [] if error.index is None else [str(error.index)]
    if error.field is not None:
        path.append(error.field)
    elif match is not None:
        path += match[1].split(".")
    return {
        "pointer": "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path),
        "detail": text,
    }


def make_problem(status: HTTPStatus, code: str, detail: str, **more: Any) -> Response:
    """Return such an answer for what has no exception of its own."""
    headers = {"cache-control": "no-store"}
    if "retry_after_ms" in more:
        headers["retry-after"] = str(math.ceil(more["retry_after_ms"] / 1000))
    if status is HTTPStatus.UNAUTHORIZED:
        # RFC 6750 section 3.
        headers["www-authenticate"] = 'Bearer realm="hint-relay"'
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        **more,
    }
    return Response(orjson.dumps(body), status, headers, media_type=_MEDIA_TYPE)


def _status_of(error: HintRelayError) -> HTTPStatus:
    return next(
        (status for kinds, status in _STATUSES if isinstance(error, kinds)),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
