"""Which thresholds the brightness of pixels crosses between two pictures, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.compiled import compiled

#: Smaller changes are none.
_TOLERANCE = 1e-6
_FIRST_CAPACITY = 1 << 12


class PixelMemory(NamedTuple):
    """What each pixel remembers; the kernel brings it up to date.

    Attributes:
        told: (H, W) float32; brightness at the last threshold that was crossed.
        last: (H, W) float32; brightness in the last picture.
        told_ns: (H, W) int64; time of the last event, -1 before there was one.
    """

    told: NDArray[np.float32]
    last: NDArray[np.float32]
    told_ns: NDArray[np.int64]


@compiled
def find_events(
    brightness: NDArray[np.float32],
    memory: PixelMemory,
    thresholds: NDArray[np.float64],
    times_ns: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Find the events of all pixels, row by row.

    Args:
        brightness: (H, W) in the present picture.
        memory: Of the pixels.
        thresholds: (H, W, 2) or (1, 1, 2): how much brighter and how much darker is told.
        times_ns: (3,) time of the last picture, of this one, and how long a pixel rests.

    Returns:
        (N, 4) column, row, time in ns, and 1 for brighter or 0 for darker.
    """
    height, width = brightness.shape
    events = np.empty((_FIRST_CAPACITY, 4), np.int64)
    count = 0
    for y in range(height):
        for x in range(width):
            before, now = memory.last[y, x], brightness[y, x]
            memory.last[y, x] = now
            if abs(now - before) <= _TOLERANCE:
                continue
            brighter = now > before
            sign = 1.0 if brighter else -1.0
            row, column = min(y, thresholds.shape[0] - 1), min(x, thresholds.shape[1] - 1)
            step = thresholds[row, column, 0 if brighter else 1]
            level = memory.told[y, x] + sign * step
            while sign * level > sign * before and sign * level <= sign * now:
                share = (level - before) / (now - before)
                t_ns = times_ns[0] + np.int64(share * (times_ns[1] - times_ns[0]))
                told_ns = memory.told_ns[y, x]
                if told_ns < 0 or t_ns - told_ns >= times_ns[2]:
                    if count == events.shape[0]:
                        larger = np.empty((2 * count, 4), np.int64)
                        larger[:count] = events
                        events = larger
                    events[count, 0], events[count, 1] = x, y
                    events[count, 2], events[count, 3] = t_ns, 1 if brighter else 0
                    count += 1
                    memory.told_ns[y, x] = t_ns
                memory.told[y, x] = level
                level += sign * step
    return events[:count]
