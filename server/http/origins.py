"""What pages in browsers may do: their own server's pages may, others only if they are named.

A page that somebody looks at can send requests to every server that this person can reach, also to
one on 127.0.0.1. The browser then only hides the answer; the request has been carried out. But it
tells from which page the request comes, in the header ``Origin``, whenever the request may change
something. Programs send no such header and are not concerned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from server.errors import RequestError, shown
from server.limits import EVERY_ORIGIN, ServerSettings

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


class Origins:
    """Whose pages may use a server."""

    def __init__(self, settings: ServerSettings) -> None:
        """Know the origins that are allowed beside the server's own.

        A server that can be reached from its own machine only has no other names: a page that
        calls itself by one got there by a trick with that name (DNS rebinding).
        """
        self._allowed = frozenset(origin.lower().encode() for origin in settings.cors_origin)
        self._every = EVERY_ORIGIN in settings.cors_origin
        self._local = settings.local

    def require(self, origin: bytes, host: bytes) -> None:
        """Refuse a request of a page that may not use the server.

        Args:
            origin: The request's header ``Origin``.
            host: Its header ``Host``.

        Raises:
            RequestError: 403.
        """
        if self._every or origin.lower() in self._allowed:
            return
        own = origin.lower().partition(b"://")[2]
        if own and own == host.lower() and (not self._local or _is_this_machine(own)):
            return
        raise RequestError(
            403,
            f"pages of {shown(origin.decode('latin-1'))} may not use this server; whoever runs it "
            "can allow them with --cors-origin",
        )


def _is_this_machine(host: bytes) -> bool:
    """Whether a host with or without a port is a loopback address, or a name of one."""
    name = re.sub(r":\d+$", "", host.decode("latin-1")).strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
