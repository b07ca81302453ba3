"""Who may do what: the API key that a request shows, and what it allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.types import Scope

from server.api_keys import KeyFile, Right
from server.errors import RequestError

#: Whether the sender of a request has a right; returns the namespace of what is remembered for it.
#: Raises `RequestError` 401 or 403.
Authorise = Callable[[Scope, Right], str]

_BEARER: Final = b"bearer "

#: A browser's WebSocket can send no headers but this one, so the key may stand in it, behind this
#: prefix, beside `WEBSOCKET_PROTOCOL`, which is the one that the server then chooses.
KEY_PROTOCOL_PREFIX: Final = b"bicameral.key."
WEBSOCKET_PROTOCOL: Final = "bicameral"

_HOW: Final = "send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"


class KeyHolders:
    """Lets those in who show a key that allows it; an `Authorise`."""

    def __init__(self, keys: KeyFile) -> None:
        """Know the keys."""
        self._keys = keys

    def __call__(self, scope: Scope, right: Right) -> str:
        """Return the namespace of what is remembered for the sender.

        Raises:
            RequestError: 401 if there is no key, or an unknown one; 403 if it does not allow this.
        """
        shown = _shown_key(scope)
        key = None if shown is None else self._keys.find(shown)
        if key is None:
            what = "this needs an API key" if shown is None else "this API key is unknown here"
            challenge = _challenge("" if shown is None else "invalid_token")
            raise RequestError(401, f"{what}; {_HOW}", {"WWW-Authenticate": challenge})
        scope["state"]["api_key"] = key.name
        if right not in key.rights:
            allowed = ", ".join(sorted(key.rights))
            raise RequestError(
                403,
                f"the API key {key.name!r} does not allow {right!r}, only {allowed}",
                {"WWW-Authenticate": f'{_challenge("insufficient_scope")}, scope="{right}"'},
            )
        return key.namespace


def chosen_protocol(scope: Scope) -> str | None:
    """Return the protocol to accept a WebSocket with.

    A browser that offered protocols, one of them its key, insists on a choice.
    """
    return WEBSOCKET_PROTOCOL if WEBSOCKET_PROTOCOL in scope["subprotocols"] else None


def _challenge(error: str) -> str:
    """Return what RFC 6750, section 3, has the server say."""
    return 'Bearer realm="bicameral"' + (f', error="{error}"' if error else "")


def _shown_key(scope: Scope) -> bytes | None:
    """Return the key in a request's headers, or None."""
    other: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == _BEARER:
            return bytes(value[7:].strip())
        if name == b"x-api-key":
            other = bytes(value.strip())
        elif name == b"sec-websocket-protocol" and scope["type"] == "websocket":
            for protocol in value.split(b","):
                if protocol.strip().startswith(KEY_PROTOCOL_PREFIX):
                    other = protocol.strip().removeprefix(KEY_PROTOCOL_PREFIX)
    return other
