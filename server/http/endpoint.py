"""What one method of one path does, and how it is described to those who ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response
from starlette.websockets import WebSocket

from server.api_keys import Right
from server.http.exchange import Request

#: Answers a request, or refuses it with a `bicameral.errors.BicameralError`.
Handler = Callable[[Request], Awaitable[Response]]

#: Serves a WebSocket that was not accepted yet; what it refuses before it accepts is answered.
SocketHandler = Callable[[Request, WebSocket], Awaitable[None]]

#: The method of an endpoint that takes all of them.
ANY_METHOD = "*"


class ErrorAnswer(BaseModel):
    """Why a request is refused."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path.

    Attributes:
        method: HTTP method; ``GET`` answers HEAD, too.
        path: With placeholders as in Starlette: ``{model}``, ``{label:path}``.
        handler: Answers.
        right: What its sender must be allowed to do; None: anybody may.
        query: Checks the parameters in the query; None: they are passed over.
        tag: The part of the server that it belongs to in the OpenAPI document, which takes the rest
            from the handler's docstring and from what follows; empty: it is not in there.
        answer: Of a request that succeeds: a model in JSON, content by its media type, or nothing.
        refusals: Statuses that it may be refused with, beside those that all may be.
        body: The description of the body that it takes; empty: none.
        placeholders: Further descriptions of the schemas of the path's placeholders.
    """

    method: str
    path: str
    handler: Handler
    right: Right | None = "infer"
    query: type[BaseModel] | None = None
    tag: str = ""
    answer: Any = None
    refusals: tuple[int, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    placeholders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketEndpoint:
    """A path that WebSockets are opened to.

    Attributes:
        path: As `Endpoint.path`.
        handler: Serves them.
        right: What their openers must be allowed to do.
    """

    path: str
    handler: SocketHandler
    right: Right = "infer"
