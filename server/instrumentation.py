"""What happens to every request, whoever answers it: an id, a count, a line in the log.

This is the outermost application, in plain ASGI. It costs a few microseconds a request, for a tiny
network answers in forty.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import time
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.endpoints.asgi import error_answer
from server.endpoints.authorisation import WEBSOCKET_PROTOCOL
from server.errors import RequestError
from server.logs import current_request_id
from server.metrics import Metrics
from server.serving.served_model import ModelVersion

_log = logging.getLogger(__name__)

#: An id that a client may choose: it stands in headers and logs.
_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")

_HEADER = b"x-request-id"

#: Browsers take an answer for what its type says, not for what it might be.
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")

#: Messages that bear the headers of an answer.
_BEGIN_ANSWERS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


def request_id(scope: Scope) -> str:
    """Return the id of a request."""
    return str(scope["state"]["request_id"])


def answered_by(scope: Scope, model: ModelVersion) -> None:
    """Note which model a request is for, so that it is counted there; it must be a loaded one."""
    scope["state"]["model"] = model


class Instrumented:
    """An application whose requests have ids, are counted, and are logged if they fail.

    A request's own ``X-Request-Id`` is kept if it has at most 128 letters, digits or any of
    ``._~:/+=@-``; else it gets one. The answer bears the same header.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, log_requests: bool = False) -> None:
        """Wrap an application.

        Args:
            app: Answers the requests.
            metrics: Counts them.
            log_requests: Log every request, not only those in which the server fails.
        """
        self._app = app
        self._metrics = metrics
        self._log_requests = log_requests
        # Unique for each process, then counting: a fortieth of the price of a random id.
        self._prefix = os.urandom(8).hex().encode()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        start_s = time.perf_counter()
        header = _chosen_id(scope["headers"]) or self._new_id()
        state = scope.setdefault("state", {})
        state["request_id"] = identity = header.decode("ascii")
        outside = current_request_id.set(identity)
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] in _BEGIN_ANSWERS:
                status = message.get("status", 101)
                message["headers"] = [*message.get("headers", ()), (_HEADER, header), _NO_SNIFFING]
                if status == 101 and WEBSOCKET_PROTOCOL in scope["subprotocols"]:
                    # A browser that offered protocols, one of them its key, insists on a choice.
                    message["subprotocol"] = message.get("subprotocol") or WEBSOCKET_PROTOCOL
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            _log.exception("%s %s failed", scope.get("method", "WS"), scope["path"])
            if status is not None or scope["type"] != "http":
                raise
            failure = RequestError(500, f"the server failed; its log tells more about {identity}")
            await error_answer(failure).send(send_with_id)
        except asyncio.CancelledError:
            # The time in which a server that ends finishes what it accepted is over.
            if status is None and scope["type"] == "http":
                failure = RequestError(503, "the server is shutting down", {"Retry-After": "1"})
                await error_answer(failure).send(send_with_id)
            raise
        finally:
            self._note(scope, status, time.perf_counter() - start_s)
            current_request_id.reset(outside)

    def _new_id(self) -> bytes:
        return b"%s-%x" % (self._prefix, next(self._numbers))

    def _note(self, scope: Scope, status: int | None, duration_s: float) -> None:
        model = scope["state"].get("model")
        if model is not None:
            self._metrics.count_request(model, status, duration_s)
        if self._log_requests:
            fields = {
                "method": scope.get("method", "WS"),
                "path": scope["path"],
                "status": status,
                "duration_ms": round(1e3 * duration_s, 3),
            }
            if "api_key" in scope["state"]:
                fields["api_key"] = scope["state"]["api_key"]
            _log.info("%(method)s %(path)s %(status)s", fields, extra={"fields": fields})


def _chosen_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the id that the client chose, if it may stand in headers and logs."""
    for name, value in headers:
        if name == _HEADER:
            return value if _ID.fullmatch(value) else None
    return None
