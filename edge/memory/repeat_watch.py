"""Whether looking for images that come again pays on the stream that a result memory sees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When looking is suspended, and for how long; all are numbers of images.

    Attributes:
        images_per_hit: Looking pays if one in so many images is found.
        patience: So many may be looked at in vain before looking is suspended.
        trial: So many are looked at after a pause.
        pause: The first pause; while trials find nothing, each is twice as long as the one before.
        longest_pause: But not longer than this.
        most_credit: So many may be looked at in vain at most, that the end of a video is noticed.
    """

    images_per_hit: int
    patience: int
    trial: int
    pause: int
    longest_pause: int
    most_credit: int


#: Looking for near duplicates costs up to a half of the shipped cascade's networks, more than it
#: computes, for it displaces them in the caches.
NEAR_DUPLICATES = Pace(
    images_per_hit=2, patience=6, trial=3, pause=128, longest_pause=1024, most_credit=32
)
#: A lookup of the pixels costs a thirtieth of them, so what is lost while it is suspended, one hit
#: in so many images at most, costs no more than it saves, however large the networks are.
SAME_PIXELS = Pace(
    images_per_hit=33, patience=32, trial=1, pause=32, longest_pause=128, most_credit=64
)


class RepeatWatch:
    """Suspends looking for images that come again while few are found, and tries again later.

    It keeps an account: an image that was looked at costs one, a hit brings what looking at
    `Pace.images_per_hit` costs. A camera's near duplicates follow each other, so a trial of
    consecutive images notices them. Not thread-safe: the memory holds the lock.
    """

    def __init__(self, pace: Pace) -> None:
        """Begin to look."""
        self._pace = pace
        self._credit, self._left, self._pause = pace.patience, 0, pace.pause
        self.on_trial = False

    @property
    def suspended(self) -> bool:
        """Whether the next image is not looked for."""
        return self._left > 0

    def pays(self, images: int) -> bool:
        """Return whether to look for so many images, the next ones."""
        if self._left <= 0:
            return True
        self._left -= images
        return False

    def note(self, looked: int, found: int) -> None:
        """Take down what looking has brought."""
        pace = self._pace
        self._credit = min(self._credit + pace.images_per_hit * found - looked, pace.most_credit)
        if self._credit > pace.patience:
            self.on_trial, self._pause = False, pace.pause
        elif self._credit <= 0:
            self._left, self._pause = self._pause, min(2 * self._pause, pace.longest_pause)
            self._credit, self.on_trial = pace.trial, True

    def resume(self, found: bool) -> None:
        """End the pause if one was found that nobody looked for."""
        if found:
            self._left = 0
            self.note(0, 1)
