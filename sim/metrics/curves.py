"""The driven curve against the curve that the expert drove."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.metrics.kernels import align

#: Distance between the points that are compared.
SPACING_M = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveComparison:
    """How far a driven curve is from a reference; 0 everywhere for the reference itself.

    Attributes:
        frechet_m: Discrete Fréchet distance.
        dtw_m: Sum of distances along the warped alignment. Grows with the length of the route.
        dtw_normalised_m: `dtw_m` by the number of aligned pairs: a mean distance.
        area_m2: Integral, along the reference, of the distance to the aligned driven points.
        length_error: Difference of lengths by the length of the reference.
    """

    frechet_m: float
    dtw_m: float
    dtw_normalised_m: float
    area_m2: float
    length_error: float


def compare_curves(
    driven_xy_m: NDArray[np.float64], reference_xy_m: NDArray[np.float64]
) -> CurveComparison:
    """Compare a driven curve with the whole reference.

    A drive that ended early is not compared with the part it managed, but with all of the
    reference: the points that it never reached count with their distance to where it stopped.

    Args:
        driven_xy_m: (T, 2), T >= 1, one point per tick.
        reference_xy_m: (R, 2), R >= 2, not all equal.
    """
    driven = resample(driven_xy_m, SPACING_M)
    reference = resample(reference_xy_m, SPACING_M)
    frechet_m, total, pairs, distance = align(driven, reference)
    length_m, reference_m = curve_length(driven_xy_m), curve_length(reference_xy_m)
    return CurveComparison(
        frechet_m=frechet_m,
        dtw_m=total,
        dtw_normalised_m=total / pairs,
        area_m2=float(np.sum((distance[1:] + distance[:-1]) / 2.0 * _steps(reference))),
        length_error=abs(length_m - reference_m) / reference_m,
    )


def curve_length(xy_m: NDArray[np.float64]) -> float:
    """Return the length of a polyline."""
    return float(np.sum(_steps(xy_m)))


def resample(xy_m: NDArray[np.float64], spacing_m: float) -> NDArray[np.float64]:
    """Return points at equal distances along a polyline, its end included.

    Args:
        xy_m: (N, 2), N >= 1; repeated points are allowed.
        spacing_m: Distance along the polyline; the last step may be shorter.

    Returns:
        (M, 2) float64, C-contiguous; one point if the polyline has no length.
    """
    step_m = _steps(xy_m)
    moved = np.concatenate([[True], step_m > 0.0])
    points = np.asarray(xy_m, np.float64)[moved]
    s_m = np.concatenate([[0.0], np.cumsum(step_m[step_m > 0.0])])
    at_m = np.arange(0.0, s_m[-1], spacing_m)
    at_m = np.append(at_m[at_m < s_m[-1] - 1e-9], s_m[-1]) if s_m[-1] > 0.0 else s_m[:1]
    return np.column_stack([np.interp(at_m, s_m, points[:, axis]) for axis in (0, 1)])


def _steps(xy_m: NDArray[np.float64]) -> NDArray[np.float64]:
    steps: NDArray[np.float64] = np.hypot(np.diff(xy_m[:, 0]), np.diff(xy_m[:, 1]))
    return steps
