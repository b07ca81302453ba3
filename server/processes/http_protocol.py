"""uvicorn's protocols: answers in one piece, heads that are small and in time, room for others.

uvicorn writes head and body of an answer one after the other, each with a system call and a packet
of its own. Putting them together saves an eighth of the server's processor time for a tiny network
(132 -> 116 us a request at 8 connections, 2 shared x86-64 cores), and a process that is killed
leaves no half answers. Sending what was answered in one turn of the event loop together at the next
one saves another sixth: the kernel wakes a client once for several answers, and its next requests
come together. And uvicorn waits for the rest of a head as long as the client likes, holds as much
of it as the client sends, and accepts connections until the process can open no more files.
"""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any, Final

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server.errors import RequestError
from server.limits import ConnectionLimits

#: Set when this process has begun to end, so that answers without an end find theirs.
ENDING: Final = Event()

#: Larger answers are not copied together, and do not wait for others.
_LARGEST_COPY_BYTES = 64 << 10


#: A head of a few bytes a header would hold fifty times its size.
_MOST_HEADERS: Final = 256

#: What a client still sends when it has got its last answer is thrown away, as far as this.
_MOST_DROPPED_BYTES: Final = 64 << 20

#: Of the idle connections so many are closed at a time, or a flood would look for each anew.
_CLOSED_SHARE: Final = 16


class _RefusedHeadError(Exception):
    """A head is not taken; it makes the parser stop."""


class ConnectionConfig(uvicorn.Config):
    """What the connections of one process ask, and what they count together.

    Attributes:
        head_timeout_s: How long the head of a request may take to arrive.
        connections: Limits of connections, and of what comes before a request.
        most_connections: How many it may have where it runs.
        kept_bytes: Of incomplete heads of all its connections.
        unsent: What was written in this turn of the event loop.
    """

    head_timeout_s: float
    connections: ConnectionLimits
    most_connections: int
    kept_bytes: int
    unsent: list[_OnePiece]


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    config: ConnectionConfig
    _head_timer: asyncio.TimerHandle | None = None
    _upgraded = False
    transport: _OnePiece  # type: ignore[assignment]
    #: Whether nothing more is answered, only thrown away; and how much of it so far.
    hanging_up = False
    _dropped_bytes = 0
    #: Whether a request was read to its end, and no other one has begun.
    _between_requests = False
    #: Bytes since the parser last told of a head or of a piece of a body: it keeps them.
    _kept_bytes = 0
    #: How many of them are in the sum over all connections.
    _counted_bytes = 0
    _refusal = RequestError(400, "the request is not HTTP as this server reads it")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, if there is room; the first head has to arrive in time."""
        super().connection_made(_OnePiece(transport, self))  # type: ignore[arg-type]
        self._expect_head()
        if len(self.connections) > self.config.most_connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Read on; a head, or the rest of a body that was refused, has to come in time."""
        if self.hanging_up:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > _MOST_DROPPED_BYTES:
                self.transport.pause_reading()
            return
        self._kept_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._kept_bytes != self._counted_bytes:
            self._count_kept()
        if self._upgraded or (self.cycle is not None and not self.cycle.response_complete):
            self._stop_timer()
        elif self._between_requests:
            # The body ended after its answer, so uvicorn does not wait for another request.
            self._stop_timer()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        elif self._head_timer is None:
            self._expect_head()

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._between_requests = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """End a body; whatever comes next is a head."""
        self._between_requests = True
        super().on_message_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; too many of them are not read to their end."""
        super().on_header(name, value)
        if len(self.headers) > _MOST_HEADERS:
            self._refuse_head()

    def on_headers_complete(self) -> None:
        """Begin to answer, if the head is one."""
        arrived, self._kept_bytes = self._kept_bytes, 0
        largest, headers = self.config.connections.max_head_bytes, self.headers
        if (
            arrived > largest  # which may be the body's
            and len(self.url) + sum(len(name) + len(value) for name, value in headers) > largest
        ):
            self._refuse_head()
        hosts = [name for name, _ in headers].count(b"host")
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            text = f"the request has {hosts} headers Host, expected one (RFC 9112, section 3.2)"
            self._refusal = RequestError(400, text)
            raise _RefusedHeadError
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            # What follows a body in chunks is no header of the request (RFC 9110, section 6.5.1).
            self.headers = []

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, which is counted where it is read."""
        self._kept_bytes = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser could not read, or was made not to."""
        self._refuse(self._refusal)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; a WebSocket has no further heads."""
        self._upgraded = True
        super().handle_websocket_upgrade()

    def hang_up(self) -> bool:
        """Take no more requests of a connection that has got its last answer.

        A client that still sends would be told that its connection was reset, and might never read
        the answer. So it is told that nothing more comes, and what it sends is thrown away until it
        closes, for as long as a head may take (RFC 9112, section 9.6).

        Returns:
            Whether the client may still be sending; otherwise the connection can be closed.
        """
        if self.hanging_up or self._between_requests or self._upgraded:
            return self.hanging_up
        self.hanging_up = True
        self._forget_head()
        self._stop_timer()
        self._unset_keepalive_if_required()
        self._expect_head()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timer()
        self._forget_head()
        super().connection_lost(exc)
        # uvicorn forgets it if the client has reset the connection, and so keeps 7 kB for as long
        # as an idle connection may last.
        self._unset_keepalive_if_required()

    def shutdown(self) -> None:
        """Finish what was begun; the server ends."""
        ENDING.set()
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close_at_once()
        else:
            super().shutdown()

    def _count_kept(self) -> None:
        """Refuse more than one connection, or all of them together, may have the parser keep."""
        config = self.config
        config.kept_bytes += self._kept_bytes - self._counted_bytes
        self._counted_bytes = self._kept_bytes
        if self._kept_bytes == 0:
            return
        limits = config.connections
        if self._kept_bytes > limits.max_head_bytes:
            self._refuse(_too_large_head(limits))
        elif config.kept_bytes > limits.max_heads_bytes:
            text = "too many requests have begun that do not go on; try again"
            self._refuse(RequestError(503, text))

    def _forget_head(self) -> None:
        self.config.kept_bytes -= self._counted_bytes
        self._kept_bytes = self._counted_bytes = 0
        self.parser = None  # type: ignore[assignment]
        self.headers = []

    def _refuse_head(self) -> None:
        self._refusal = _too_large_head(self.config.connections)
        raise _RefusedHeadError

    def _refuse(self, error: RequestError) -> None:
        """Answer, where an answer may come now, and close the connection."""
        cycle = self.cycle
        if cycle is not None and cycle.response_complete and cycle.scope is self.scope:
            pass  # it has its answer; this is the rest of its body
        elif cycle is None or cycle.response_complete or not cycle.response_started:
            if cycle is not None and not cycle.response_complete:
                if not cycle.more_body:  # an answer to the request before this one comes first
                    self.transport.close()
                    return
                cycle.disconnected = True
                cycle.message_event.set()
            body = orjson.dumps({"error": error.message})
            self.transport.write(
                b"%bcontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (STATUS_LINE[error.status], len(body), body)
            )
        self.transport.close()

    def _make_room(self) -> None:
        """Close those that have done nothing for longest; if there are none, this one."""
        idle = [
            (other.cycle is not None, since_s, id(other), other)
            for other in self.connections
            if isinstance(other, HttpProtocol)
            and other is not self
            and (since_s := other.idle_since_s) is not None
        ]
        if not idle:
            text = "this server has as many connections as it may; try again"
            self._refuse(RequestError(503, text))
            self.transport.close_at_once()
            return
        for *_, other in sorted(idle)[: 1 + len(idle) // _CLOSED_SHARE]:
            self.connections.discard(other)
            other.transport.close_at_once()

    @property
    def idle_since_s(self) -> float | None:
        """Since when it waits for a head, on the event loop's clock; None: it does not."""
        if self.cycle is not None and not self.cycle.response_complete and not self.hanging_up:
            return None
        if self._head_timer is not None:
            return self._head_timer.when() - self.config.head_timeout_s
        if self.timeout_keep_alive_task is not None:
            return self.timeout_keep_alive_task.when() - self.timeout_keep_alive
        return None

    def _expect_head(self) -> None:
        timeout_s = self.config.head_timeout_s
        self._head_timer = self.loop.call_later(timeout_s, self.transport.close_at_once)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _too_large_head(limits: ConnectionLimits) -> RequestError:
    text = (
        f"the head of a request may have {limits.max_head_bytes:,} bytes and {_MOST_HEADERS} "
        "headers, this one has more; so may what follows a body in chunks"
    )
    return RequestError(431, text)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection, on which a server that ends lets an episode go on for a while."""

    def shutdown(self) -> None:
        """Go on where a connection is in use; uvicorn cancels its task when the time is over.

        uvicorn itself would close it at once, in the middle of whatever its client does.
        """
        if not self.handshake_complete or self.close_sent:
            super().shutdown()


class _OnePiece:
    """A transport that sends what is written in one turn of the event loop at the next one.

    So the head of an answer goes with its body, and answers to several clients go together.
    """

    __slots__ = ("_parts", "_protocol", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, protocol: HttpProtocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send this at the next turn, or at once if there is much."""
        if not self._parts:
            unsent = self._protocol.config.unsent
            if not unsent:
                self._protocol.loop.call_soon(_send_all, unsent)
            unsent.append(self)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _LARGEST_COPY_BYTES:
            self.flush()

    def close(self) -> None:
        """Send what was written; close, as soon as the client does if it may still be sending."""
        self.flush()
        if self._transport.is_closing() or not self._protocol.hang_up():
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()

    def close_at_once(self) -> None:
        """Send what was written, then close."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._protocol.hanging_up or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def flush(self) -> None:
        """Send what was written."""
        parts, size, self._parts, self._size = self._parts, self._size, [], 0
        if not parts or self.is_closing():
            return
        if size <= _LARGEST_COPY_BYTES:
            self._transport.write(b"".join(parts))
        else:
            self._transport.writelines(parts)


def _send_all(unsent: list[_OnePiece]) -> None:
    """Send what was written to all connections."""
    # Emptied first: one that fails must not keep back what is written later.
    pending = unsent.copy()
    unsent.clear()
    for transport in pending:
        transport.flush()
