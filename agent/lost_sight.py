"""What was close ahead when a camera lost it: it is below the picture, and has not gone."""

from __future__ import annotations

from typing import Final

from bicameral.simulation import TICK_S

#: Nearer than this something is close. A network that is asked for cars tells of a walker who is
#: about to leave the picture, 1 m before the bumper, that he is 6 m ahead.
_CLOSE_M: Final = 7.0
#: One answer alone that somebody is close is not believed.
_SURE_TICKS: Final = 2
#: What is this much farther away a tick later is something else.
_LEAP_M: Final = 8.0


class LostSight:
    """Says for a while that somebody is there who was seen close, and then not any more."""

    def __init__(self, hold_s: float) -> None:
        """Set for how long it says so."""
        self._hold_ticks = round(hold_s / TICK_S)
        self.forget()

    def forget(self) -> None:
        """Begin a new drive."""
        self._seen_ticks = self._left_ticks = 0
        self._last_m = 0.0

    def hides_somebody(self, lead_m: float) -> bool:
        """Return whether somebody is out of sight; call it once per tick.

        Args:
            lead_m: How far ahead the network sees the next car, from the front bumper.
        """
        if lead_m < _CLOSE_M:
            self._seen_ticks, self._left_ticks, self._last_m = self._seen_ticks + 1, 0, lead_m
            return False
        if self._seen_ticks >= _SURE_TICKS and lead_m > self._last_m + _LEAP_M:
            self._left_ticks = self._hold_ticks
        self._seen_ticks = 0
        self._left_ticks -= 1
        return self._left_ticks >= 0
