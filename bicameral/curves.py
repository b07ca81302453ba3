"""Curvature of a sampled path, as the planner and the drivers both need it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def curvature_from_yaw(
    s_m: NDArray[np.float64], yaw_rad: NDArray[np.float64], window_m: float
) -> NDArray[np.float64]:
    """Return the mean curvature over a window centred on every point.

    Args:
        s_m: (N,) strictly increasing arc length.
        yaw_rad: (N,) unwrapped heading.
        window_m: Width of the window; towards the ends it is cut at the end of the path.

    Returns:
        (N,) float64 in 1/m; positive turns right, as yaw does.
    """
    behind = np.maximum(s_m - window_m / 2.0, s_m[0])
    ahead = np.minimum(s_m + window_m / 2.0, s_m[-1])
    turned = np.interp(ahead, s_m, yaw_rad) - np.interp(behind, s_m, yaw_rad)
    return np.asarray(turned / np.maximum(ahead - behind, 1e-6), dtype=np.float64)
