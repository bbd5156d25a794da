"""The built page, served at / for development and small installations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Mount
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from typing import Any

    from starlette.responses import Response
    from starlette.types import Scope


# As in deploy/nginx.conf. What the page may load and run stands in the page itself.
_HEADERS = {
    "content-security-policy": "frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": (
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
    ),
}


class PageFiles(StaticFiles):
    """Static files where ``/session/facilitator`` finds ``session/facilitator.html``.

    The same rule as nginx' ``try_files $uri $uri.html`` in deploy/, and the same headers.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer the file, the page of that name, or the page's own 404."""
        response = await self._found(path, scope)
        response.headers.update(_HEADERS)
        return response

    async def _found(self, path: str, scope: Scope) -> Response:
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404:
                raise
        else:
            if response.status_code != 404:
                return response
        # StaticFiles checks that the path stays inside the folder.
        return await super().get_response(f"{path}.html", scope)


class PageMount(Mount):
    """Has every address but those of other routes, also where they refuse a method.

    Else a wrong method would be answered from here, with the methods of files.

    Args:
        files: the page.
        others: the routes before it.
    """

    def __init__(self, files: PageFiles, others: Sequence[BaseRoute]) -> None:
        super().__init__("/", files, name="page")
        self._others = others

    def matches(self, scope: Scope) -> tuple[Match, MutableMapping[str, Any]]:
        """Tell whether a request is for the page."""
        if any(route.matches(scope)[0] is not Match.NONE for route in self._others):
            return Match.NONE, {}
        return super().matches(scope)
