"""From the path ahead to steering: pure pursuit.

The car drives on the arc that leads to a point of the path some metres ahead, as in Coulter,
"Implementation of the Pure Pursuit Path Tracking Algorithm" (1992): a point at lateral offset y and
distance d lies on an arc of curvature 2 y / d^2 that begins straight ahead.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.vehicle_model import steer_from_curvature

#: The point that is steered for lies this far ahead, plus so much per m/s, within these bounds.
_LOOK_AHEAD_M: Final = 2.0
_LOOK_AHEAD_S: Final = 0.4
_NEAREST_M: Final = 4.0
_FARTHEST_M: Final = 15.0


def look_ahead_m(speed_mps: float) -> float:
    """Return how far ahead the point lies that is steered for."""
    return min(max(_LOOK_AHEAD_M + _LOOK_AHEAD_S * speed_mps, _NEAREST_M), _FARTHEST_M)


def pursue(
    distances_m: NDArray[np.float64], offsets_m: NDArray[np.float64], speed_mps: float
) -> float:
    """Return the steering that leads onto a path.

    Args:
        distances_m: (D,) ascending distances ahead along the path.
        offsets_m: (D,) its lateral offset at each, in the car's frame, positive right; in between
            it is interpolated.
        speed_mps: Forward speed.

    Returns:
        Steering in -1..1, positive right; no number where the path is none.
    """
    ahead_m = look_ahead_m(speed_mps)
    offset_m = float(np.interp(ahead_m, distances_m, offsets_m))
    if not math.isfinite(offset_m):
        return math.nan
    return steer_from_curvature(2.0 * offset_m / ahead_m**2, speed_mps)
