"""Whether it pays to look for near duplicates: not on a stream that does not repeat."""

from __future__ import annotations

#: Looking for near duplicates costs an eighth to a sixth of the shipped cascade's networks, so
#: that with fewer answers than this it costs more than it saves.
_LEAST_SHARE = 1 / 8
#: Images by which it is judged, and, after a pause, by which it is tried again.
_WINDOW, _TRIAL = 64, 32
#: Images of a pause: a trial costs a fifteenth of what looking always costs.
_PAUSE = 480


class RepeatWatch:
    """Suspends looking for near duplicates while few are found, and tries again from time to time.

    A camera's near duplicates follow each other, so a trial of consecutive images notices them. Not
    thread-safe; `edge.memory.local` holds the lock.
    """

    def __init__(self) -> None:
        """Begin to look."""
        self._span = _WINDOW
        self._pause = self._looked = self._found = 0

    def pays(self, images: int) -> bool:
        """Return whether to look for near duplicates of so many images, the next ones."""
        if self._pause <= 0:
            return True
        self._pause -= images
        return False

    def note(self, looked: int, found: int) -> None:
        """Take down what looking has brought."""
        self._looked += looked
        self._found += found
        if self._looked < self._span:
            return
        pays = self._found >= _LEAST_SHARE * self._looked
        self._span, self._pause = (_WINDOW, 0) if pays else (_TRIAL, _PAUSE)
        self._looked = self._found = 0
