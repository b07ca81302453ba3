"""uvicorn's protocols: answers in one piece, heads that arrive in time, episodes that may end.

uvicorn writes head and body of an answer one after the other, each with a system call and a packet
of its own. Putting them together saves an eighth of the server's processor time for a tiny network
(132 -> 116 us a request at 8 connections, 2 shared x86-64 cores), and a process that is killed
leaves no half answers. And uvicorn waits for the rest of a head as long as the client likes.
"""

from __future__ import annotations

import asyncio
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from server.processes.worker import WorkerConfig

#: Set when this process has begun to end, so that answers without an end find theirs.
ENDING: Final = Event()

#: Larger answers are not copied together.
_LARGEST_COPY_BYTES = 64 << 10


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    config: WorkerConfig
    _head_timer: asyncio.TimerHandle | None = None
    _upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; the first head has to arrive in time."""
        super().connection_made(_OnePiece(transport, self.loop))  # type: ignore[arg-type]
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Read on; what was begun has to become a whole head in time."""
        super().data_received(data)
        if self._upgraded or (self.cycle is not None and not self.cycle.response_complete):
            self._stop_timer()
        elif self._head_timer is None:
            self._expect_head()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; a WebSocket has no further heads."""
        self._upgraded = True
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timer()
        super().connection_lost(exc)
        # uvicorn forgets it if the client has reset the connection, and so keeps 7 kB for as long
        # as an idle connection may last.
        self._unset_keepalive_if_required()

    def shutdown(self) -> None:
        """Finish what was begun; the server ends."""
        ENDING.set()
        super().shutdown()

    def _expect_head(self) -> None:
        timeout_s = self.config.head_timeout_s
        self._head_timer = self.loop.call_later(timeout_s, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection, on which a server that ends lets an episode go on for a while."""

    def shutdown(self) -> None:
        """Go on where a connection is in use; uvicorn cancels its task when the time is over.

        uvicorn itself would close it at once, in the middle of whatever its client does.
        """
        if not self.handshake_complete or self.close_sent:
            super().shutdown()


class _OnePiece:
    """A transport that sends what is written in one turn of the event loop together."""

    __slots__ = ("_loop", "_parts", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send this, together with what comes next."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """Send what was written, then close."""
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if not parts or self._transport.is_closing():
            return
        if sum(map(len, parts)) <= _LARGEST_COPY_BYTES:
            self._transport.write(b"".join(parts))
        else:
            self._transport.writelines(parts)
