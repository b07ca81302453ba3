"""uvicorn's WebSocket protocol, in which a server that ends lets episodes go on for a while."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection."""

    def shutdown(self) -> None:
        """Go on where a connection is in use; uvicorn cancels its task when the time is over.

        uvicorn itself would close it at once, in the middle of whatever its client does.
        """
        if not self.handshake_complete or self.close_sent:
            super().shutdown()
