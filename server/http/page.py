"""The web page: static files that call the server's own endpoints and nothing else."""

from __future__ import annotations

from importlib import resources
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from server.errors import RequestError, shown
from server.http.endpoint import Endpoint
from server.http.exchange import Request

#: Nothing from elsewhere, no inline code; pictures that the page itself made or was given are
#: ``blob:``.
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    # Names do not change with their content, so browsers ask each time whether it did.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "same-origin",
}


def page_endpoints() -> list[Endpoint]:
    """Return the endpoints."""
    files = StaticFiles(directory=str(resources.files("server") / "page"))

    async def file(request: Request) -> Response:
        try:
            answer = await files.get_response(request.path.get("path", "index.html"), request.scope)
        except HTTPException as error:
            text = f"there is no {shown(request.scope['path'])} in the page"
            raise RequestError(error.status_code, text) from None
        answer.headers.update(_HEADERS)
        return answer

    return [
        Endpoint(method="GET", path=path, handler=file, right=None)
        for path in ("/", "/page/{path:path}")
    ]
