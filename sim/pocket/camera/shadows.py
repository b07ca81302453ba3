"""Baking the static scene's shadows for a direction of the sun."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.buffers import TriangleTable
from sim.pocket.camera.lighting import Lighting
from sim.pocket.camera.shadow_kernels import SunShadows, bake_tops, block_bounds
from sim.pocket.camera.textures import TexturePyramid
from sim.pocket.scene.labels import CityObjectLabel

#: The ground itself casts no shadows worth drawing, and would fill the map.
_NO_OCCLUDERS = (
    CityObjectLabel.TERRAIN,
    CityObjectLabel.GROUND,
    CityObjectLabel.ROAD_LINES,
    CityObjectLabel.WATER,
)
_FINEST_TEXELS_PER_M = 4.0
_MOST_TEXELS = 12_000_000
#: A lower sun is treated as this high, or shadows would be longer than the town.
_LOWEST_SUN_RAD = math.radians(7.0)
_FLAT_BIAS_M = 0.12


def no_shadows() -> SunShadows:
    """Return the shadows of a sunless day."""
    tops = np.zeros((1, 1), np.uint16)
    return SunShadows(
        tops, np.zeros((2, 1, 1), np.uint16), 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, active=False
    )


def bake_sun_shadows(
    table: TriangleTable, count: int, pyramid: TexturePyramid, lighting: Lighting
) -> SunShadows:
    """Bake the shadows that the first `count` triangles of a table cast under a light."""
    rows = np.flatnonzero(~np.isin(table.tag[:count], _NO_OCCLUDERS)).astype(np.int64)
    if not lighting.casts_shadows or len(rows) == 0:
        return no_shadows()
    low, high = _bounds(table, rows)
    area = float(np.prod(high[:2] - low[:2] + 1.0))
    texels_per_m = min(_FINEST_TEXELS_PER_M, math.sqrt(_MOST_TEXELS / area))
    columns, lines = (math.ceil(side * texels_per_m) + 2 for side in high[:2] - low[:2])
    x, y, z = lighting.shadow_direction
    flat = math.hypot(x, y)
    altitude = max(math.atan2(z, flat), _LOWEST_SUN_RAD)
    per_height = 1.0 / math.tan(altitude) / flat if flat > 1e-9 else 0.0
    tops = np.zeros((lines, columns), np.uint16)
    shadows = SunShadows(
        tops=tops,
        blocks=np.zeros((2, 1, 1), np.uint16),
        origin_x_m=float(low[0]),
        origin_y_m=float(low[1]),
        texels_per_m=texels_per_m,
        slope_x=x * per_height,
        slope_y=y * per_height,
        base_m=float(low[2]) - 1.0,
        flat_bias_m=_FLAT_BIAS_M,
        steep_bias_m=1.2 / texels_per_m * math.sin(altitude),
        active=True,
    )
    bake_tops(table, rows, pyramid, shadows)
    return shadows._replace(blocks=block_bounds(tops))


def _bounds(
    table: TriangleTable, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = table.corners[:, :, rows]
    low, high = corners.min(axis=(0, 2)), corners.max(axis=(0, 2))
    return low.astype(np.float64), high.astype(np.float64)
