"""The RPC server: one TCP connection per ``carla.Client``, requests carried out in order.

Some requests wait while later ones are answered (`RpcHandler.must_defer`); the client knows its
answers by their ids.

Nothing that one connection does may harm another: requests and unread answers are bounded, a turn
of the event loop serves only some requests of each connection, and bytes that are no protocol
close the connection they came from.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Protocol, cast

from bicameral.errors import DataError
from sim.pocket.protocol.framing import Request, RequestReader, pack_response

#: Requests of one connection answered before the event loop looks at the others.
_REQUESTS_PER_TURN = 32
#: Bytes of unfinished requests that all connections together may hold.
_MAX_PENDING_BYTES = 24 << 20
#: How soon a request that had to wait is tried again.
_RETRY_S = 0.001
#: How soon an answer that had to wait is tried again.
_HELD_ANSWER_S = 0.0002

logger = logging.getLogger(__name__)


class RpcHandler(Protocol):
    """What answers the requests."""

    def answer(self, connection: RpcConnection, request: Request) -> tuple[str | None, object]:
        """Return (error, result) of a call; never raises."""

    def must_wait(self, request: Request) -> bool:
        """Say whether the request, and all after it, have to be tried again a little later."""

    def must_defer(self, connection: RpcConnection, request: Request) -> bool:
        """Say whether the request has to wait while later ones are answered."""

    def must_hold_answer(self, request: Request, since_s: float) -> bool:
        """Say whether the answer of a request that was carried out has to wait."""

    def forget(self, connection: RpcConnection) -> None:
        """Release whatever belongs to a connection that has closed."""


class RpcConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, server: RpcServer) -> None:
        self._server = server
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        self._held: Request | None = None
        self._deferred: list[Request] = []
        self._pump_handle: asyncio.Handle | None = None
        self._writing_paused = False
        self._pending_bytes = 0

    @property
    def peer_host(self) -> str | None:
        """Address of the client; None when it has gone."""
        peer = None if self._transport is None else self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else None

    @property
    def deferred_count(self) -> int:
        """How many requests wait while later ones are answered."""
        return len(self._deferred)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve a client."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        if self._pump_handle is not None:
            self._pump_handle.cancel()
            self._pump_handle = None
        self._transport = None
        self._held = None
        self._deferred = []
        self._reader = RequestReader()
        self._count_pending(0)
        self._server.connections.discard(self)
        self._server.handler.forget(self)

    def pause_writing(self) -> None:
        """Stop answering: the client does not read its answers."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Go on answering."""
        self._writing_paused = False
        self._schedule(0.0)

    def data_received(self, data: bytes) -> None:
        """Take bytes and answer the requests that are complete."""
        try:
            self._reader.feed(data)
        except DataError as error:
            self._drop(str(error))
            return
        if self._deferred and self._pump_handle is not None:
            self._pump_handle.cancel()  # it waits for what is deferred; what is new may not have to
            self._pump_handle = None
        if self._pump_handle is None and not self._writing_paused:
            self._pump()
        self._count_pending(self._reader.pending_bytes)

    def _count_pending(self, pending_bytes: int) -> None:
        self._server.pending_bytes += pending_bytes - self._pending_bytes
        self._pending_bytes = pending_bytes
        if pending_bytes and self._server.pending_bytes > _MAX_PENDING_BYTES:
            self._drop("too many bytes wait for the rest of their requests")

    def _pump(self) -> None:
        self._pump_handle = None
        for _ in range(_REQUESTS_PER_TURN):
            if self._transport is None or self._transport.is_closing():
                return
            if self._writing_paused:
                self._transport.pause_reading()
                return
            self._answer_deferred()
            try:
                request = self._held or self._reader.next_request()
            except DataError as error:
                self._drop(str(error))
                return
            if request is None:
                self._transport.resume_reading()
                if self._deferred:
                    self._schedule(_RETRY_S)
                return
            if self._held is None and self._server.handler.must_defer(self, request):
                self._deferred.append(request)
                continue
            if self._server.handler.must_wait(request):
                self._held = request
                self._transport.pause_reading()
                self._schedule(_RETRY_S)
                return
            self._held = None
            self._answer(request)
        if self._transport is not None:
            self._transport.pause_reading()
        self._schedule(0.0)

    def _schedule(self, delay_s: float) -> None:
        if self._pump_handle is not None or self._transport is None:
            return
        loop = asyncio.get_running_loop()
        self._pump_handle = (
            loop.call_later(delay_s, self._pump) if delay_s else loop.call_soon(self._pump)
        )

    def _answer_deferred(self) -> None:
        for request in tuple(self._deferred):
            if not self._server.handler.must_defer(self, request):
                self._deferred.remove(request)
                self._answer(request)

    def _answer(self, request: Request) -> None:
        error, result = self._server.handler.answer(self, request)
        if request.message_id is not None:
            answer = pack_response(request.message_id, error, result)
            self._write(request, answer, time.monotonic())

    def _write(self, request: Request, answer: bytes, since_s: float) -> None:
        if self._transport is None:
            return
        if self._server.handler.must_hold_answer(request, since_s):
            loop = asyncio.get_running_loop()
            loop.call_later(_HELD_ANSWER_S, self._write, request, answer, since_s)
        else:
            self._transport.write(answer)

    def _drop(self, reason: str) -> None:
        logger.info("closing an RPC connection: %s", reason)
        if self._transport is not None:
            self._transport.abort()


class RpcServer:
    """Listens for RPC clients.

    Attributes:
        handler: What answers the requests.
        connections: The connections that are open.
        pending_bytes: Bytes of unfinished requests over all connections.
    """

    def __init__(self, handler: RpcHandler) -> None:
        self.handler = handler
        self.connections: set[RpcConnection] = set()
        self.pending_bytes = 0

    async def start(self, listener: socket.socket) -> asyncio.Server:
        """Accept connections on a bound socket."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: RpcConnection(self), sock=listener, backlog=512)
