"""Refusals over HTTP."""

from __future__ import annotations

import json

import pytest

from relay.errors import (
    BrokerFull,
    BrokerUnavailable,
    Forbidden,
    HintRelayError,
    InvalidMessage,
    InvalidPosition,
    InvalidSession,
    KeysUnavailable,
    LimitReached,
    MessageTooLarge,
    RateLimited,
    SettingsError,
    TextTooLong,
    Unauthorized,
    UnknownHint,
)
from relay.routes.problem import problem


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidSession("a b"), 400, "bad_session"),
        (InvalidPosition("x"), 400, "bad_position"),
        (Unauthorized("The token has expired."), 401, "unauthorized"),
        (Forbidden("Not for this session."), 403, "forbidden"),
        (UnknownHint("s"), 404, "unknown_hint"),
        (MessageTooLarge(2, 1), 413, "too_large"),
        (TextTooLong("text", 2, 1), 413, "too_large"),
        (InvalidMessage("'text': missing."), 422, "bad_message"),
        (RateLimited(1), 429, "rate_limited"),
        (LimitReached("max_connections", "Full."), 429, "limit_reached"),
        (KeysUnavailable(), 503, "unavailable"),
        (BrokerUnavailable("away"), 503, "unavailable"),
        (BrokerFull("full"), 503, "unavailable"),
        (SettingsError("wrong"), 500, "unavailable"),
    ],
)
def test_statuses(error: HintRelayError, status: int, code: str) -> None:
    """Each refusal has its status, its code and its sentence, and is kept by no cache."""
    response = problem(error)
    body = json.loads(bytes(response.body))
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["detail"] == str(error)
    assert body["type"] == "about:blank"
    assert body["title"]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in response.headers) == (status == 401)


@pytest.mark.parametrize(
    ("error", "retry_after_s"),
    [
        (RateLimited(1), "1"),
        (RateLimited(1001), "2"),
        (LimitReached("max_connections", "Full.", 1000), "1"),
        (LimitReached("max_connections_per_session", "Many."), "30"),
        (KeysUnavailable(), "2"),
        (BrokerUnavailable("away"), "2"),
    ],
)
def test_when_to_come_back(error: HintRelayError, retry_after_s: str) -> None:
    """Who may come back is told when, in whole seconds that are long enough."""
    response = problem(error)
    assert response.headers["retry-after"] == retry_after_s
    assert json.loads(bytes(response.body))["retry_after_ms"] <= int(retry_after_s) * 1000


def test_fields() -> None:
    """What is wrong with each field can be told, and more."""
    fields = [{"pointer": "/0/text", "detail": "missing"}]
    body = json.loads(bytes(problem(InvalidMessage("Bad."), errors=fields, index=0).body))
    assert (body["errors"], body["index"]) == (fields, 0)
