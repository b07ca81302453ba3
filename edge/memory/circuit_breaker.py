"""Leave a server that does not answer alone for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable


class CircuitBreaker:
    """Says whether to try a server; after failures it is tried less and less often.

    Thread-safe. After a failure nobody tries for a pause, then a single caller does while the
    others go on without the server; every further failure doubles the pause.
    """

    def __init__(
        self, *, first_pause_s: float, longest_pause_s: float, clock: Callable[[], float]
    ) -> None:
        """Begin closed: everybody may try."""
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._clock = clock
        self._pause_s = 0.0
        self._retry_s = 0.0
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Return whether the caller may try; if so it must report how that went."""
        with self._lock:
            if self._pause_s == 0.0:
                return True
            now_s = self._clock()
            if now_s < self._retry_s:
                return False
            self._retry_s = now_s + self._pause_s  # whoever comes next must wait for this try
            return True

    def succeeded(self) -> bool:
        """Close the circuit; return whether it was open."""
        with self._lock:
            was_open = self._pause_s > 0.0
            self._pause_s = 0.0
            return was_open

    def failed(self) -> bool:
        """Open the circuit, or keep it open for longer; return whether it was closed."""
        with self._lock:
            was_closed = self._pause_s == 0.0
            self._pause_s = min(max(2 * self._pause_s, self._first_pause_s), self._longest_pause_s)
            self._retry_s = self._clock() + self._pause_s
            return was_closed
