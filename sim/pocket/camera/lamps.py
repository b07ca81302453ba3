"""Street lamps and headlamps around a camera, as a map of their light on the ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.lamp_kernels import POOL_SIDE, LampPools, fill_pools
from sim.pocket.camera.view import CameraView, Instance
from sim.pocket.geometry import rotation_matrix

#: Reach (m), half the width per metre, and brightness beside a night without lamps.
_STREET_LAMP = (15.0, 0.0, 2.6)
_HEADLAMPS = (45.0, 0.3, 4.0)
#: The map lies this far ahead of the camera.
_AHEAD_M = 0.5 * POOL_SIDE - 20.0

DARK = LampPools(np.zeros((1, 1, 2), np.float32), 0.0, 0.0, active=False)
"""No lamps."""


class LampMap:
    """Draws the lamps around a camera.

    Args:
        street_lamps: (N, 3) the ground below their heads, metres.
    """

    def __init__(self, street_lamps: NDArray[np.float64]) -> None:
        self._street_lamps = np.zeros((len(street_lamps), 8))
        self._street_lamps[:, :3] = street_lamps
        self._street_lamps[:, 5:] = _STREET_LAMP
        self._ground = np.zeros((POOL_SIDE, POOL_SIDE, 2), np.float32)

    def pools(self, view: CameraView, instances: Sequence[Instance]) -> LampPools:
        """Return the map for a frame; it is drawn anew by the next call."""
        middle = view.eye_m[:2] + _AHEAD_M * view.axes[0, :2]
        origin = np.floor(middle) - POOL_SIDE // 2
        near = np.abs(self._street_lamps[:, :2] - middle).max(axis=1) < POOL_SIDE
        beams = [_beam(one) for one in instances if one.headlamps]
        lamps = np.concatenate([self._street_lamps[near], np.array(beams).reshape(-1, 8)])
        pools = LampPools(self._ground, float(origin[0]), float(origin[1]), active=True)
        fill_pools(lamps, pools)
        return pools


def _beam(vehicle: Instance) -> tuple[float, ...]:
    ahead = rotation_matrix(vehicle.transform.rotation)[:, 0]
    x, y, z = vehicle.transform.location
    return (x, y, z, float(ahead[0]), float(ahead[1]), *_HEADLAMPS)
