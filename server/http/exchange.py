"""One request: who asks for what, its body, and whether its sender still waits for the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope

from server.errors import RequestError, shown
from server.http.compression import inflate
from server.http.large_bodies import IN_PLACE_BYTES, LARGE_BYTES, require_few_values
from server.limits import RequestLimits
from server.serving.computation import RequestTimes
from server.serving.long_work import LongWork
from server.serving.served_model import ModelVersion, RequestContext

T = TypeVar("T")

#: Bodies that inflate to more than this could keep the event loop busy for longer than going to a
#: thread takes; no body inflates to more than 1032 times its size (zlib's documentation).
_INFLATE_IN_PLACE_BYTES: Final = 256

#: While a worker holds more than this, large bodies grow one at a time: ten of 32 MB were 424 MiB.
_CROWDED_BYTES: Final = 16 << 20

#: Who leaves is noticed so much later at the most, about as long as the longest batch runs.
_UNWATCHED_S: Final = 0.02

#: Values of an object that is no tensor.
_MOST_FIELDS: Final = 10_000


class ClientGoneError(Exception):
    """The client closed the connection: nobody waits for the answer."""


@dataclass(slots=True, eq=False)
class HeldBodies:
    """How many bytes of bodies a worker holds at a time.

    A limit on each body does not bound memory: a thousand clients may send one each, and pictures
    wait for their decoder with their bodies. A body counts from its arrival until its request is
    answered; what arrives beyond the limit is refused while it arrives.

    Attributes:
        size: So many.
        growing: Whoever has it may receive more of a large body although much is held, until its
            request is answered.
    """

    size: int = 0
    growing: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True, eq=False)
class Request:
    """A request on its way through the stack, which fills in what it finds out.

    Attributes:
        scope: ASGI's.
        receive: Gives its body, and then tells when the client has gone.
        limits: Of a single request.
        held: All bodies of this worker.
        work: Does for it what takes long.
        id: For logs and the answer.
        path: What stands in the path's placeholders.
        query: Its parameters, as the endpoint's model of them; None: it has no such model.
        namespace: Of what is remembered for its sender.
        model: The model that it is counted for.
        times: When it went from one hand to the next.
        held_bytes: How much of its body is counted in those that the worker holds.
        grows: Whether no other request may receive more of a large body meanwhile.
        has_turn: Whether no other request may have a large body or picture meanwhile.
        headers: By name, in lower case as ASGI gives them; of several of a name the last one.
        arrived_s: When its head was there, on `time.monotonic`'s clock.
    """

    scope: Scope
    receive: Receive
    limits: RequestLimits
    held: HeldBodies
    work: LongWork
    id: str = ""
    path: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    namespace: str = ""
    model: ModelVersion | None = None
    times: RequestTimes = field(default_factory=RequestTimes)
    held_bytes: int = 0
    grows: bool = False
    has_turn: bool = False
    headers: dict[bytes, bytes] = field(init=False)
    arrived_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.headers, self.arrived_s = dict(self.scope["headers"]), time.monotonic()

    def context(self, *, no_store: bool = False, timeout_s: float | None = None) -> RequestContext:
        """Return what a model must know of it beside its tensors.

        Args:
            no_store: Its parameters say that nothing is to be remembered; ``Cache-Control:
                no-store`` says the same.
            timeout_s: What it allows itself, from its arrival; the limit goes before.
        """
        limit_s = self.limits.timeout_s
        if not no_store and b"cache-control" in self.headers:
            # Directives may be written in capitals (RFC 9111, section 5.2), in any of the headers.
            no_store = any(
                name == b"cache-control" and b"no-store" in value.lower()
                for name, value in self.scope["headers"]
            )
        return RequestContext(
            deadline_s=self.arrived_s + min(limit_s, timeout_s or limit_s),
            no_store=no_store,
            memory_namespace=self.namespace,
        )

    async def body(self) -> bytes:
        """Read the body and undo its content encoding.

        A body that says that it is too large is refused before it is read, any other one as soon
        as it turns out to be.

        Raises:
            RequestError: 408 if it does not arrive in time; 413 if it is too large; 429 if this
                worker holds too many; and as `inflate`.
            ClientGoneError: If the connection ended before the body did.
        """
        limits = self.limits
        declared = self.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:19]) > limits.max_body_bytes:
            raise _too_large(f"{int(declared[:19]):,}", limits.max_body_bytes)
        task, late, waits = asyncio.current_task(), False, False

        def expire() -> None:
            nonlocal late
            late = True
            if task is not None:
                task.cancel()

        # What asyncio.timeout does, at a sixth of its price: nearly every body is there at once.
        timer = asyncio.get_running_loop().call_later(limits.body_timeout_s, expire)
        # Pieces are not kept beside what they are joined to: that leaves the heap full of holes.
        joined, more = BytesIO(), True
        try:
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                part = message.get("body", b"")
                self.held_bytes += len(part)
                self.held.size += len(part)
                if self.held.size > limits.max_held_bytes:
                    raise _too_much_held(limits.max_held_bytes)
                if self.held_bytes > limits.max_body_bytes:
                    raise _too_large("more", limits.max_body_bytes)
                more = message.get("more_body", False)
                if more or joined.tell():
                    joined.write(part)
                crowded = self.held.size > _CROWDED_BYTES and self.held_bytes > LARGE_BYTES
                if more and crowded and not self.grows:
                    waits = True
                    self.grows = await self.held.growing.acquire()
                    waits = False
        except asyncio.CancelledError:
            if late and task is not None and not task.uncancel():
                if waits:
                    raise _too_much_held(_CROWDED_BYTES) from None
                raise _too_slow(self.held_bytes, limits.body_timeout_s) from None
            raise
        finally:
            timer.cancel()
        self.times.read_s = time.monotonic()
        body = joined.getvalue() if joined.tell() else part
        encoding = self.headers.get(b"content-encoding", b"identity").decode("latin-1")
        if encoding.strip().lower() == "identity":
            return body
        if len(body) <= _INFLATE_IN_PLACE_BYTES:
            return inflate(body, encoding, limits.max_body_bytes)
        inflated = await self._inflated(body, encoding)
        self.held_bytes += len(inflated) - len(body)
        self.held.size += len(inflated) - len(body)
        if self.held.size > limits.max_held_bytes:
            raise _too_much_held(limits.max_held_bytes)
        return inflated

    async def _inflated(self, body: bytes, encoding: str) -> bytes:
        most = self.limits.max_body_bytes
        few = min(LARGE_BYTES, most)
        try:
            return await self.work.do(partial(inflate, body, encoding, few))
        except RequestError as error:
            if error.status != 413 or few == most:
                raise
        return await self.aside(most, partial(inflate, body, encoding, most))

    async def aside(self, size: int, work: Callable[[], T]) -> T:
        """Do what takes long with so many bytes of the body, which must have been read.

        If they are many the request waits until no other one has a large body or picture, and then
        has the turn until it is answered.

        Raises:
            RequestError: As `LongWork.do` and `LongWork.begin_turn`.
            ClientGoneError: As `while_connected`.
        """
        if size <= LARGE_BYTES:
            return await self.work.do(work)
        if await self.while_connected(self.work.begin_turn()):
            self.has_turn = True
        return await self.work.do_alone(work)

    def end_turn(self) -> None:
        """Hold nothing large any more."""
        self.has_turn = False
        self.work.end_turn()

    async def json_object(self) -> dict[str, Any]:
        """Read a JSON object; an empty body is an empty one.

        Raises:
            RequestError: 400 if it is something else; 413 if it has very many values; and as
                `body`.
        """
        body = await self.body()

        def read() -> Any:
            require_few_values(body, _MOST_FIELDS)
            return orjson.loads(body) if body else {}

        try:
            found = read() if len(body) <= IN_PLACE_BYTES else await self.aside(len(body), read)
        except orjson.JSONDecodeError as error:
            raise RequestError(400, f"the request is no JSON: {error}") from None
        if type(found) is not dict:
            raise RequestError(400, f"the request is {shown(found)}, expected a JSON object")
        return found

    async def while_connected(self, work: Awaitable[T]) -> T:
        """Await work that is cancelled when the client closes the connection.

        Work that takes less than `_UNWATCHED_S` is not watched, which would cost as much as a tiny
        network. The body must have been read.

        Raises:
            ClientGoneError: If the client has gone.
        """
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        watch: asyncio.Task[None] | None = None
        gone = False

        async def listen() -> None:
            nonlocal gone
            while (await self.receive())["type"] != "http.disconnect":
                pass
            gone = True
            if task is not None:
                task.cancel()

        def begin() -> None:
            nonlocal watch
            watch = loop.create_task(listen())

        beginning = loop.call_later(_UNWATCHED_S, begin)
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


class BytesAnswer(Response):
    """An answer of known bytes; for every inference, so it is made at a third of the price."""

    def __init__(
        self, body: bytes, media_type: bytes, *headers: tuple[bytes, bytes], status: int = 200
    ) -> None:
        """Take its parts as they are sent; names of headers are in lower case."""
        self.status_code, self.body, self.background = status, body, None
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", media_type),
            *headers,
        ]


def json_answer(value: Any) -> Response:
    """Return an answer in JSON, of plain values or of a pydantic model."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return BytesAnswer(orjson.dumps(value), b"application/json")


def error_answer(error: RequestError) -> Response:
    """Return the answer that tells a client why its request is refused."""
    return Response(
        orjson.dumps({"error": error.message}),
        error.status,
        headers=error.headers,
        media_type="application/json",
    )


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


def _too_much_held(max_bytes: int) -> RequestError:
    return RequestError(
        429,
        f"this server holds bodies of more than {max_bytes:,} bytes at the moment, and has no room "
        "for this one; try again",
        {"Retry-After": "1"},
    )
