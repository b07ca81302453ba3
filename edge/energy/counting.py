"""What speaks against the readings of a counter of energy: set back, stuck, or jumped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.energy.meter import MeterInfo

#: A counter that stands still for more of a window hides what happened.
_MAX_STANDSTILL = 0.05

#: A standstill of fewer periods of the counter is none.
_STANDSTILL_PERIODS = 10.0

#: Between readings that lie closer, an update more or less makes any power.
_JUDGED_PERIODS = 4.0

#: A wrap-around that hides more power than this times the most that was seen in the same window is
#: none: the counter was set back.
_WRAP_FACTOR = 3.0


def counter_faults(
    times_s: Sequence[float], joules: Sequence[float], wraps: Sequence[int], info: MeterInfo
) -> list[str]:
    """Say why the difference of the first and the last reading is not the energy in between.

    Args:
        times_s: Ascending times of at least two readings.
        joules: The readings, wrap-arounds made good.
        wraps: How often the counter had begun again at each of them.
        info: What the counter is.
    """
    times, steps_j = np.asarray(times_s, np.float64), np.diff(np.asarray(joules, np.float64))
    moved = np.flatnonzero(steps_j) + 1
    faults = _rise_faults(times, steps_j, np.diff(np.asarray(wraps))[moved - 1] > 0, info)
    still_s = float(np.diff(np.concatenate((times[[0]], times[moved], times[[-1]]))).max())
    least_s = max(
        _MAX_STANDSTILL * (times[-1] - times[0]),
        _STANDSTILL_PERIODS * (info.update_period_s or 0.0),
    )
    if (steps_j == 0).any() and still_s > least_s:
        faults.append(f"the counter stood still for {still_s:.3g} s: it is stuck")
    gap_s = float(np.diff(times).max())
    if info.range_j and info.max_power_w and gap_s * info.max_power_w > info.range_j:
        faults.append(
            f"no reading for {gap_s:.3g} s, in which the counter may have begun again unseen"
        )
    return faults


def _rise_faults(
    times: NDArray[np.float64],
    steps_j: NDArray[np.float64],
    wrapped: NDArray[np.bool_],
    info: MeterInfo,
) -> list[str]:
    """Say which rises are none; `wrapped` tells for each step that is not 0 if it began again."""
    faults = []
    if (steps_j < 0).any():
        faults.append(f"the counter went back by {-steps_j.min():.4g} J: it was set back")
    moved = np.flatnonzero(steps_j) + 1
    # What came after a standstill belongs to the whole of it.
    since_s = np.diff(times[np.concatenate(([0], moved))])
    powers_w = steps_j[moved - 1] / np.maximum(since_s, info.update_period_s or 1e-3)
    judged = since_s >= _JUDGED_PERIODS * (info.update_period_s or 0.0)
    most_w = powers_w[judged].max(initial=0.0)
    usual_w = powers_w[judged & ~wrapped].max(initial=0.0)
    hidden_w = powers_w[wrapped].max(initial=0.0)
    if info.max_power_w is not None and most_w > info.max_power_w:
        faults.append(
            f"the counter rose by {most_w:.4g} W for a moment, more than the {info.max_power_w:g} "
            "W that can be drawn: it jumped or was set back"
        )
    elif usual_w and hidden_w > _WRAP_FACTOR * usual_w:
        faults.append(
            f"the counter began again too early: that would be {hidden_w:.4g} W, and at most "
            f"{usual_w:.4g} W were seen otherwise; it was set back"
        )
    return faults
