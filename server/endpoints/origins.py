"""What pages in browsers may do: their own server's pages may, others only if they are named.

A page that somebody looks at can send requests to every server that this person can reach, also to
one on 127.0.0.1. The browser then only hides the answer; the request has been carried out. But it
tells from which page the request comes, in the header ``Origin``, whenever the request may change
something. Programs send no such header and are not concerned.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from ipaddress import ip_address
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from server.endpoints.asgi import error_answer
from server.errors import RequestError
from server.limits import EVERY_ORIGIN
from server.open_inference.messages import shown

#: What scripts of other origins may read, beside what every browser lets them.
_EXPOSED: Final = ("Inference-Header-Content-Length", "Retry-After", "X-Request-Id")


def shared_with_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of other origins read the answers of an application (CORS).

    Nobody is known by a cookie, so requests with credentials are never allowed.

    Args:
        app: The application.
        origins: Whose pages; none: the application stays as it is.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=list(_EXPOSED),
    )


class OriginGuard:
    """An application that refuses requests from pages of other origins than its own."""

    def __init__(self, app: ASGIApp, allowed: Collection[str], *, local: bool) -> None:
        """Wrap an application.

        Args:
            app: Answers the requests.
            allowed: Origins that are not its own and may use it all the same.
            local: It can be reached from its own machine only. Then a page that calls itself by
                another name got there by a trick with that name (DNS rebinding).
        """
        self._app = app
        self._allowed = frozenset(origin.lower().encode() for origin in allowed)
        self._every = EVERY_ORIGIN in allowed
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "lifespan" and not self._every:
            headers = scope["headers"]
            for name, origin in headers:
                if name == b"origin" and not self._may(origin.lower(), headers):
                    await _refuse(origin, scope, send)
                    return
        await self._app(scope, receive, send)

    def _may(self, origin: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        if origin in self._allowed:
            return True
        host = origin.partition(b"://")[2]
        own = next((value.lower() for name, value in headers if name == b"host"), b"")
        return bool(host) and host == own and (not self._local or _is_this_machine(host))


async def _refuse(origin: bytes, scope: Scope, send: Send) -> None:
    error = RequestError(
        403,
        f"pages of {shown(origin.decode('latin-1'))} may not use this server; whoever runs it can "
        "allow them with --cors-origin",
    )
    await error_answer(error).send(send, websocket=scope["type"] == "websocket")


def _is_this_machine(host: bytes) -> bool:
    """Whether a host with or without a port is a loopback address, or a name of one."""
    name = re.sub(r":\d+$", "", host.decode("latin-1")).strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
