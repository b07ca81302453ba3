"""The light of lamps at night: pools on the ground around the camera, seen from above.

A map of one metre a texel holds how bright the lamps make the ground and how high they shine from.
Whatever stands there gets the same light, less the higher it is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.compiled import compiled_lean, inlined_part

#: Side of the map, metres and texels.
POOL_SIDE = 128
#: Up to this height above the foot of a lamp all is lit alike, and from the other on nothing.
_WHOLE_M, _NOTHING_M = 2.5, 9.0
_BEAM_BEGINS_M = 1.0


class LampPools(NamedTuple):
    """The map of lamplight.

    Attributes:
        ground: (N, N, 2) float32; brightness, and height of the ground below the lamps, metres.
        origin_x_m: World x of the first column.
        origin_y_m: World y of the first row.
        active: Whether lamps shine at all.
    """

    ground: NDArray[np.float32]
    origin_x_m: float
    origin_y_m: float
    active: bool


@compiled_lean
def fill_pools(lamps: NDArray[np.float64], pools: LampPools) -> None:
    """Draw lamps into the map.

    Args:
        lamps: (K, 8) x, y, z of the ground below, direction x and y (0, 0 to all sides), reach (m),
            half the width of the beam per metre, brightness.
        pools: Its map is filled completely.
    """
    ground = pools.ground
    rows, columns, _ = ground.shape
    ground[:] = np.float32(0.0)
    for k in range(lamps.shape[0]):
        x, y = lamps[k, 0] - pools.origin_x_m, lamps[k, 1] - pools.origin_y_m
        reach = lamps[k, 5]
        is_beam = lamps[k, 3] != 0.0 or lamps[k, 4] != 0.0
        for row in range(max(0, math.ceil(y - reach)), min(rows, math.ceil(y + reach))):
            for column in range(max(0, math.ceil(x - reach)), min(columns, math.ceil(x + reach))):
                right, down = column - x, row - y
                left = 1.0 - (right * right + down * down) / (reach * reach)
                if left <= 0.0:
                    continue
                value = lamps[k, 7] * left * left
                if is_beam:
                    ahead = right * lamps[k, 3] + down * lamps[k, 4]
                    beside = abs(down * lamps[k, 3] - right * lamps[k, 4])
                    inside = 1.0 - beside / (_BEAM_BEGINS_M + lamps[k, 6] * max(ahead, 0.0))
                    value *= max(0.0, inside) * max(0.0, min(1.0, ahead))
                if value > 0.5 * ground[row, column, 0]:
                    ground[row, column, 1] = lamps[k, 2]
                ground[row, column, 0] += value


@inlined_part
def lamplight_at(pools: LampPools, x: float, y: float, z: float) -> float:
    """Return how bright lamps make a place in the world."""
    across, down = x - pools.origin_x_m, y - pools.origin_y_m
    column, row = math.floor(across), math.floor(down)
    ground = pools.ground
    if column < 0 or row < 0 or column + 1 >= ground.shape[1] or row + 1 >= ground.shape[0]:
        return 0.0
    right, below = across - column, down - row
    upper = ground[row, column, 0] * (1.0 - right) + ground[row, column + 1, 0] * right
    lower = ground[row + 1, column, 0] * (1.0 - right) + ground[row + 1, column + 1, 0] * right
    above = z - ground[row, column, 1]
    share = min(1.0, max(0.0, (_NOTHING_M - above) / (_NOTHING_M - _WHOLE_M)))
    return float((upper + (lower - upper) * below) * share)
