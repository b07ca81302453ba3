"""How many long connections a worker has, and may have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from server.errors import RequestError


class Seats:
    """Counts connections of one kind."""

    def __init__(self, seats: int, text: str) -> None:
        """Begin with none taken.

        Args:
            seats: How many there may be.
            text: What to tell about them: what the worker does for ``{taken}`` of them.
        """
        self._seats = seats
        self._text = text
        self._taken = 0

    def require_one(self) -> None:
        """Refuse one more connection than there may be.

        Raises:
            RequestError: 429.
        """
        if self._taken >= self._seats:
            text = self._text.format(taken=self._taken)
            raise RequestError(
                429, f"this worker {text}, more are not allowed", {"Retry-After": "1"}
            )

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a seat meanwhile."""
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
