"""What the world needs from whoever carries its messages to the clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Publisher(Protocol):
    """Streams by number, each with any count of subscribers."""

    def token(self, stream_id: int) -> bytes:
        """Return the 24 bytes that tell a client where to subscribe."""

    def has_subscribers(self, stream_id: int) -> bool:
        """Say whether anybody would receive a message."""

    def publish(self, stream_id: int, parts: Sequence[bytes]) -> None:
        """Send the parts as one message to all subscribers; the parts must not change later."""
