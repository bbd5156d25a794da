"""What is answered to requests that no endpoint has answered."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from relay.routes.problem import make_problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_WORDS = {
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address can't be used with this method."),
}


async def answer_http_exception(_request: Request, error: Exception) -> Response:
    """Answer an unknown address, or a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    code, text = _WORDS.get(error.status_code, ("bad_request", error.detail))
    answer = make_problem(HTTPStatus(error.status_code), code, text)
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


async def answer_unexpected(_request: Request, _error: Exception) -> Response:
    """Answer what nobody has foreseen; it stands in the log, and not in the answer."""
    return make_problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The relay failed; its log says why."
    )
