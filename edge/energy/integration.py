"""From samples of power to joules, and how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

#: Standard deviations on each side that hold 95 %.
_COVERAGE = NormalDist().inv_cdf(0.975)

#: Variance of a lone sample's area, in squares of it, less what its two changes count for already.
_LONE = 1.0 - 2.0 / 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Integral:
    """Energy between the first and the last of at least two samples.

    Attributes:
        energy_j: By the trapezoid rule.
        duration_s: From the first to the last sample.
        timing_j: Within which the error lies (95 %) that comes of not knowing when the power
            changed between two samples. If a change may have come at any moment in between, the
            trapezoid is off by up to half of change times gap, evenly spread. A single sample above
            or below its neighbours may be a burst that was shorter than the gap and was seen by
            chance: then its whole area is uncertain.
        samples: Their number.
        max_gap_s: Longest time between two.
        distinct_values: Different readings; one that never changes may be stuck.
        step_w: Smallest difference between two different readings; None with fewer than two.
    """

    energy_j: float
    duration_s: float
    timing_j: float
    samples: int
    max_gap_s: float
    distinct_values: int
    step_w: float | None


def integrate(times_s: Sequence[float], powers_w: Sequence[float]) -> Integral:
    """Integrate power over time.

    Args:
        times_s: Ascending times of at least two samples.
        powers_w: Power at each of them.
    """
    times, powers = np.asarray(times_s, np.float64), np.asarray(powers_w, np.float64)
    values, gaps = np.unique(powers), np.diff(times)
    changes_j = np.diff(powers) * gaps
    there_and_back = changes_j[1:] * changes_j[:-1] < 0
    lone_j = np.minimum(np.abs(changes_j[1:]), np.abs(changes_j[:-1]))[there_and_back]
    variance = np.square(changes_j).sum() / 12.0 + np.square(lone_j).sum() * _LONE
    return Integral(
        energy_j=float(np.trapezoid(powers, times)),
        duration_s=float(times[-1] - times[0]),
        timing_j=float(_COVERAGE * np.sqrt(variance)),
        samples=len(times),
        max_gap_s=float(gaps.max()),
        distinct_values=len(values),
        step_w=float(np.diff(values).min()) if len(values) > 1 else None,
    )
