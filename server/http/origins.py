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
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from server.errors import RequestError, shown
from server.limits import EVERY_ORIGIN, ServerSettings

#: What scripts of other origins may read, beside what every browser lets them.
_EXPOSED: Final = ("Inference-Header-Content-Length", "Retry-After", "X-Request-Id")

#: A server has few names; a client may invent many.
_KNOWN_HOSTS: Final = 64

_PORT: Final = re.compile(r":\d+$")


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
        origins = (urlsplit(origin).hostname or "" for origin in settings.cors_origin)
        self._names = frozenset(name.lower() for name in (*settings.allowed_host, *origins))
        #: Values of ``Host`` that were accepted, for those who need not ask again.
        self.known_hosts: set[bytes] = set()

    def require_host(self, host: bytes) -> None:
        """Refuse a request that calls a local server by a name that it does not have.

        A browser sends no ``Origin`` when a page reads from what it takes for its own server, so a
        page whose name was turned to this machine is known by ``Host`` alone.

        Args:
            host: The request's header ``Host``; empty: it has none, as no browser's would.

        Raises:
            RequestError: 403.
        """
        if not self._local or self._every or self._is_own(host):
            if len(self.known_hosts) < _KNOWN_HOSTS:
                self.known_hosts.add(host)
            return
        raise RequestError(
            403,
            f"this server is for its own machine and is not called {shown(host.decode('latin-1'))};"
            " ask it as localhost or 127.0.0.1, or whoever runs it allows the name with "
            "--allowed-host",
        )

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
        if own and own == host.lower() and (not self._local or self._is_own(own)):
            return
        raise RequestError(
            403,
            f"pages of {shown(origin.decode('latin-1'))} may not use this server; whoever runs it "
            "can allow them with --cors-origin",
        )

    def _is_own(self, host: bytes) -> bool:
        """Whether a host with or without a port is loopback, a name of it, or an allowed one."""
        name = _PORT.sub("", host.decode("latin-1").lower()).strip("[]")
        if not name or name == "localhost" or name.endswith(".localhost") or name in self._names:
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False
