"""Medians over windows and their intervals.

The windows are the independent observations, not the samples within one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_REPLICATES = 4000
_LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianInterval:
    """A median with its 95 % bootstrap interval.

    Attributes:
        median: The median.
        low: Lower end; None with fewer than two values.
        high: Upper end.
        n: Values.
    """

    median: float
    low: float | None
    high: float | None
    n: int

    @property
    def relative_half_width(self) -> float | None:
        """Half the interval's width by the median."""
        if self.low is None or self.high is None or self.median == 0.0:
            return None
        return (self.high - self.low) / 2.0 / abs(self.median)


def median_interval(values: Sequence[float], *, seed: int = 0) -> MedianInterval | None:
    """Return the median and the percentile interval of a bootstrap; None without values.

    Args:
        values: One per window.
        seed: Of the resampling.
    """
    if not values:
        return None
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return MedianInterval(median=float(array[0]), low=None, high=None, n=1)
    draws = np.random.default_rng(seed).choice(array, (_REPLICATES, len(array)))
    tail = 50.0 * (1.0 - _LEVEL)
    low, high = np.percentile(np.median(draws, axis=1), [tail, 100.0 - tail])
    return MedianInterval(
        median=float(np.median(array)), low=float(low), high=float(high), n=len(array)
    )
