"""The way of every request: an id, its page's origin, its endpoint, its key, an answer, a count.

All endpoints are plain functions from a `Request` to an answer; whatever they raise becomes an
answer here. It costs a few microseconds a request, for a tiny network answers in forty.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from bicameral.errors import BicameralError
from server.api_keys import Right
from server.errors import RequestError, request_error, shown, unfit
from server.http.authorisation import Authorise
from server.http.endpoint import ANY_METHOD, Endpoint, SocketEndpoint
from server.http.exchange import ClientGoneError, HeldBodies, Request, error_answer
from server.http.origins import Origins
from server.limits import ServerSettings
from server.logs import current_request_id
from server.metrics import Metrics
from server.serving.computation import current_times
from server.serving.footprint import return_free_memory
from server.serving.long_work import LongWork

_log = logging.getLogger(__name__)

#: An id that a client may choose: it stands in headers and logs.
_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_ID_HEADER = b"x-request-id"

#: Browsers take an answer for what its type says, not for what it might be.
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")

_Route = tuple[re.Pattern[str], Endpoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackParts:
    """What the stack stands on.

    Attributes:
        settings: Limits of a request, which pages may use the server, and what is logged.
        metrics: Counts the requests for models.
        work: Does what takes long for a request.
        lifespan: Answers ASGI's messages about start and end.
        authorise: Who may do what; None: everybody may do everything.
    """

    settings: ServerSettings
    metrics: Metrics
    work: LongWork
    lifespan: ASGIApp
    authorise: Authorise | None = None


class HttpStack:
    """The ASGI application of all endpoints.

    A request's own ``X-Request-Id`` is kept if it has at most 128 letters, digits or any of
    ``._~:/+=@-``; else it gets one. The answer bears the same header.
    """

    def __init__(
        self, parts: StackParts, endpoints: Iterable[Endpoint], sockets: Iterable[SocketEndpoint]
    ) -> None:
        """Build it; nothing happens yet.

        Args:
            parts: What it stands on.
            endpoints: Looked through in their order, so those that are asked often come first.
            sockets: Paths of WebSockets.
        """
        self._parts = parts
        self._authorise = parts.authorise
        self._limits = parts.settings.requests
        self._held = HeldBodies()
        self._origins = Origins(parts.settings)
        self._hosts = self._origins.known_hosts
        self._routes: dict[str, list[_Route]] = {ANY_METHOD: []}
        for endpoint in endpoints:
            route = compile_path(endpoint.path)[0], endpoint
            self._routes.setdefault(endpoint.method, []).append(route)
        self._sockets = [(compile_path(one.path)[0], one) for one in sockets]
        # Unique for each process, then counting: a fortieth of the price of a random id.
        self._prefix = os.urandom(8).hex().encode()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, serve a WebSocket, or live through the lifespan."""
        if scope["type"] == "lifespan":
            await self._parts.lifespan(scope, receive, send)
            return
        request = Request(scope, receive, self._limits, self._held, self._parts.work)
        header = request.headers.get(_ID_HEADER, b"")
        if not _ID.fullmatch(header):
            header = b"%s-%x" % (self._prefix, next(self._numbers))
        request.id = header.decode("ascii")
        scope.setdefault("state", {})["request_id"] = request.id
        outside = current_request_id.set(request.id)
        current_times.set(request.times)
        status: int | None = None
        try:
            if scope["type"] == "websocket":
                socket = _Socket(send, header)
                try:
                    await self._serve(request, socket)
                finally:
                    status = socket.status
                return
            answer = await self._answer(request)
            request.times.encoded_s = time.monotonic()
            if answer is not None:
                status = answer.status_code
                answer.raw_headers += [(_ID_HEADER, header), _NO_SNIFFING]
                await answer(scope, receive, send)
        except asyncio.CancelledError:
            # The time in which a server that ends finishes what it accepted is over.
            if status is None and scope["type"] == "http":
                refusal = RequestError(503, "the server is shutting down", {"Retry-After": "1"})
                answer, status = error_answer(refusal), 503
                answer.raw_headers += [(_ID_HEADER, header), _NO_SNIFFING]
                await answer(scope, receive, send)
            raise
        except Exception:  # in the middle of an answer, which breaks off
            _log.exception("%s %s failed", scope.get("method", "WS"), scope["path"])
            raise
        finally:
            self._held.size -= request.held_bytes
            if request.grows:
                self._held.growing.release()
                # Bodies that waited leave holes in the heap, whose pages stay otherwise. This turn
                # of the event loop still holds what a thread made of this one.
                asyncio.get_running_loop().call_soon(return_free_memory)
            self._note(request, status)
            current_request_id.reset(outside)

    async def _answer(self, request: Request) -> Response | None:
        """Return what to answer; None: nobody waits for it."""
        scope = request.scope
        try:
            if b"origin" in request.headers:
                self._require_origin(request)
            endpoint = self._find(request)
            if endpoint.right is not None:
                self._admit(request, endpoint.right)
            if endpoint.query is not None:
                request.query = _parsed_query(endpoint.query, scope["query_string"])
            return await endpoint.handler(request)
        except ClientGoneError:
            return None
        except BicameralError as error:
            return error_answer(request_error(error))
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            text = f"the server failed; its log tells more about {request.id}"
            return error_answer(RequestError(500, text))
        finally:
            if request.has_turn:
                request.end_turn()

    async def _serve(self, request: Request, socket: _Socket) -> None:
        scope = request.scope
        try:
            self._require_origin(request)
            path = scope["path"]
            for pattern, endpoint in self._sockets:
                found = pattern.match(path)
                if found is None:
                    continue
                request.path = found.groupdict()
                self._admit(request, endpoint.right)
                await endpoint.handler(request, WebSocket(scope, request.receive, socket.send))
                return
            raise RequestError(404, f"there is no WebSocket {shown(path)} here")
        except BicameralError as error:
            await error_answer(request_error(error))(scope, request.receive, socket.send)

    def _admit(self, request: Request, right: Right) -> None:
        """Refuse who may not do this; without keys, who asks for another host."""
        if self._authorise is not None:
            request.namespace = self._authorise(request.scope, right)
        elif (host := request.headers.get(b"host", b"")) not in self._hosts:
            self._origins.require_host(host)

    def _require_origin(self, request: Request) -> None:
        host = request.headers.get(b"host", b"")
        for name, value in request.scope["headers"]:
            if name == b"origin":
                self._origins.require(value, host)

    def _find(self, request: Request) -> Endpoint:
        """Return the endpoint of a request, and note what its path names.

        Raises:
            RequestError: 404 if there is none; 405 with the methods that there are.
        """
        path, method = request.scope["path"], request.scope["method"]
        # HEAD is GET without the body, which the HTTP server leaves out.
        known_as = "GET" if method == "HEAD" else method
        for taken in (known_as, ANY_METHOD):
            for pattern, endpoint in self._routes.get(taken, ()):
                found = pattern.match(path)
                if found is not None:
                    request.path = found.groupdict()
                    request.scope["route"] = endpoint  # for traces
                    return endpoint
        if path != "/" and path.endswith("/"):
            request.scope["path"] = path.rstrip("/") or "/"
            return self._find(request)
        raise self._nothing_there(method, path)

    def _nothing_there(self, method: str, path: str) -> RequestError:
        text = f"there is no {shown(f'{method} {path}')} here"
        others = [
            method
            for method, routes in self._routes.items()
            if any(pattern.match(path) for pattern, _ in routes)
        ]
        if others:
            allowed = ", ".join(others)
            return RequestError(405, f"{shown(path)} takes {allowed}; {text}", {"Allow": allowed})
        return RequestError(404, f"{text}; GET /openapi.json and GET /v2 tell what there is")

    def _note(self, request: Request, status: int | None) -> None:
        duration_s = time.monotonic() - request.arrived_s
        scope = request.scope
        if request.model is not None:
            scope["state"]["model"] = request.model
            self._parts.metrics.count_request(request.model, status, duration_s, request.times)
        if self._parts.settings.log_requests:
            fields = {
                "method": scope.get("method", "WS"),
                "path": scope["path"],
                "status": status,
                "duration_ms": round(1e3 * duration_s, 3),
            }
            if "api_key" in scope["state"]:
                fields["api_key"] = scope["state"]["api_key"]
            _log.info("%(method)s %(path)s %(status)s", fields, extra={"fields": fields})


class _Socket:
    """Sends the messages of a WebSocket, with an id and with the protocol that browsers want."""

    def __init__(self, send: Send, identity: bytes) -> None:
        self._send = send
        self._identity = identity
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] in ("websocket.accept", "websocket.http.response.start"):
            self.status = message.get("status", 101)
            headers = [*message.get("headers", ()), (_ID_HEADER, self._identity), _NO_SNIFFING]
            message["headers"] = headers
        await self._send(message)


@lru_cache(maxsize=64)  # the same ones again and again, and none most of all
def _parsed_query(model: type[BaseModel], query: bytes) -> BaseModel:
    try:
        return model.model_validate(dict(parse_qsl(query.decode("latin-1"), True)))
    except ValidationError as error:
        raise unfit("the request", error, "query.") from None
