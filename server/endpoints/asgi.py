"""Bodies in and answers out for endpoints that are plain ASGI applications."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.errors import RequestError
from server.limits import RequestLimits
from server.open_inference.compression import inflate

T = TypeVar("T")

#: Headers of a request by name, in lower case as ASGI gives them.
Headers = Mapping[bytes, bytes]

#: Bodies that inflate to more than this could keep the event loop busy for longer than going to a
#: thread takes; no body inflates to more than 1032 times its size (zlib's documentation).
_INFLATE_IN_PLACE_BYTES: Final = 256

_JSON: Final = (b"content-type", b"application/json")


class ClientGoneError(Exception):
    """The client closed the connection: nobody waits for the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer with its whole body.

    Attributes:
        status: HTTP status.
        body: Parts of the body.
        headers: All headers but ``Content-Length``.
    """

    status: int = 200
    body: Iterable[bytes | memoryview] = ()
    headers: Iterable[tuple[bytes, bytes]] = field(default=(_JSON,))

    async def send(self, send: Send, *, websocket: bool = False) -> None:
        """Send it.

        Args:
            send: Sends ASGI messages.
            websocket: It answers the request for a WebSocket, which is not opened then.
        """
        body = b"".join(self.body)
        headers = [*self.headers, (b"content-length", b"%d" % len(body))]
        kind = "websocket.http.response" if websocket else "http.response"
        await send({"type": f"{kind}.start", "status": self.status, "headers": headers})
        await send({"type": f"{kind}.body", "body": body})


class NoAnswer(Response):
    """What an endpoint of the framework returns when nobody waits: nothing is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing."""


def json_answer(value: Any, *, status: int = 200) -> Answer:
    """Return an answer in JSON."""
    return Answer(status=status, body=[orjson.dumps(value)])


def error_answer(error: RequestError) -> Answer:
    """Return the answer that tells a client why its request is refused."""
    headers = [(name.lower().encode(), text.encode()) for name, text in error.headers.items()]
    body = orjson.dumps({"error": error.message})
    return Answer(status=error.status, body=[body], headers=[_JSON, *headers])


def forbids_storing(scope: Scope) -> bool:
    """Return whether a request says ``Cache-Control: no-store``, in any of its headers."""
    # Directives may be written in capitals (RFC 9111, section 5.2).
    return any(
        name == b"cache-control" and b"no-store" in value.lower()
        for name, value in scope["headers"]
    )


async def read_body(headers: Headers, receive: Receive, limits: RequestLimits) -> bytes:
    """Read the body of a request and undo its content encoding.

    A body that says that it is too large is refused before it is read, any other one as soon as it
    turns out to be.

    Args:
        headers: The request's.
        receive: Gives the body.
        limits: Its size and how long it may take.

    Raises:
        RequestError: 408 if it does not arrive in time; 413 if it is too large; and as `inflate`.
        ClientGoneError: If the connection ended before the body did.
    """
    largest = limits.max_body_bytes
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared[:19]) > largest:
        raise _too_large(f"{int(declared[:19]):,}", largest)
    body = await _received(receive, limits)
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    if encoding == "identity":
        return body
    if len(body) <= _INFLATE_IN_PLACE_BYTES:
        return inflate(body, encoding, largest)
    return await asyncio.to_thread(inflate, body, encoding, largest)


async def _received(receive: Receive, limits: RequestLimits) -> bytes:
    """Read a body, no further than is allowed."""
    parts: list[bytes] = []
    size = 0
    more = True
    late = False
    task = asyncio.current_task()

    def expire() -> None:
        nonlocal late
        late = True
        if task is not None:
            task.cancel()

    # What asyncio.timeout does, at a sixth of its price: nearly every body is there at once.
    timer = asyncio.get_running_loop().call_later(limits.body_timeout_s, expire)
    try:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > limits.max_body_bytes:
                raise _too_large("more", limits.max_body_bytes)
            more = message.get("more_body", False)
    except asyncio.CancelledError:
        if late and task is not None and not task.uncancel():
            raise _too_slow(size, limits.body_timeout_s) from None
        raise
    finally:
        timer.cancel()
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def while_connected(work: Awaitable[T], receive: Receive) -> T:
    """Await work that is cancelled when the client closes the connection.

    Work that never has to wait is not watched, which would cost as much as a tiny network.

    Args:
        work: What to await.
        receive: Tells that the client has gone; the body must have been read.

    Raises:
        ClientGoneError: If it has gone.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    watch: asyncio.Task[None] | None = None
    gone = False

    async def listen() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        if task is not None:
            task.cancel()

    def begin() -> None:
        nonlocal watch
        watch = loop.create_task(listen())

    beginning = loop.call_soon(begin)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and task is not None and not task.uncancel():
            raise ClientGoneError from None
        raise
    finally:
        beginning.cancel()
        if watch is not None:
            watch.cancel()


def _too_large(size: str, largest: int) -> RequestError:
    return RequestError(
        413, f"the body has {size} bytes, allowed are {largest:,}; send less at once"
    )


def _too_slow(size: int, timeout_s: float) -> RequestError:
    return RequestError(
        408,
        f"{size:,} bytes of the body arrived within {timeout_s:g} s, expected all of it",
        {"Connection": "close"},
    )
