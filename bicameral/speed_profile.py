"""Target speed along a route: the speed limit, bounded by lateral and longitudinal acceleration."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bicameral.curves import curvature_from_yaw

#: Window over which curvature is averaged: about a car's length, so that the kink between two
#: sampled headings is not taken for a hairpin.
CURVATURE_WINDOW_M = 5.0


#: What a calm driver never exceeds sideways, which makes 15 km/h of an 8 m corner, ...
LATERAL_MPS2 = 2.3
#: ... and along the road, speeding up or braking.
_ALONG_MPS2 = 2.0


def target_speed_mps(
    s_m: NDArray[np.float64],
    yaw_rad: NDArray[np.float64],
    speed_limit_mps: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the fastest speed profile within the limits.

    Args:
        s_m: (N,) strictly increasing arc length.
        yaw_rad: (N,) unwrapped heading.
        speed_limit_mps: (N,) legal limit.

    Returns:
        (N,) float64: min(limit, sqrt(lateral / curvature)), then a backward pass that brakes early
        enough and a forward pass that speeds up gently enough. It does not stop at the end.
    """
    curvature = np.abs(curvature_from_yaw(s_m, yaw_rad, CURVATURE_WINDOW_M))
    speed = np.minimum(
        speed_limit_mps, np.sqrt(LATERAL_MPS2 / np.maximum(curvature, 1e-6))
    ).tolist()
    steps = np.diff(s_m).tolist()
    for i in range(len(steps) - 1, -1, -1):
        reachable = math.sqrt(speed[i + 1] ** 2 + 2.0 * _ALONG_MPS2 * steps[i])
        speed[i] = min(speed[i], reachable)
    for i in range(len(steps)):
        reachable = math.sqrt(speed[i] ** 2 + 2.0 * _ALONG_MPS2 * steps[i])
        speed[i + 1] = min(speed[i + 1], reachable)
    return np.array(speed, dtype=np.float64)
