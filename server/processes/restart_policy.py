"""How long to wait before a dead worker is replaced."""

from __future__ import annotations

from dataclasses import dataclass

#: A worker that lived this long had not died of what makes workers die at once.
_LONG_LIFE_S = 60.0


@dataclass(slots=True, kw_only=True)
class RestartPolicy:
    """The first replacement comes at once, each further one after twice the time of the last.

    Attributes:
        first_delay_s: Delay before the second replacement in a row.
        longest_delay_s: No delay is longer.
    """

    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    _deaths_in_a_row: int = 0

    def delay_s(self, lived_s: float) -> float:
        """Note a death, and return how long to wait.

        Args:
            lived_s: How long the worker lived.
        """
        if lived_s >= _LONG_LIFE_S:
            self._deaths_in_a_row = 0
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row == 1:
            return 0.0
        # The exponent is bounded, for a float's range is.
        doublings = min(self._deaths_in_a_row - 2, 60)
        return float(min(self.longest_delay_s, self.first_delay_s * 2**doublings))
