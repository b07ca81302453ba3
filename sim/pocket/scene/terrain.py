"""Grass around the roads, embankments between them, and what carries a road in the air."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.pocket.scene.ground_plan import GroundPlan
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Material, MeshBuilder

Array = NDArray[np.float64]

TILE_M = 12.0
BELOW_ROAD_M = 0.06
STEEPEST = 0.55
"""Rise per metre beside a lower road: about 1:1.8, a common embankment."""
HILL_M = 2.2
HILL_FROM_M = 14.0
HILL_FULL_M = 70.0
#: Distance from the border and greatest height of the rings of land around the town.
HORIZON_RINGS_M = ((60.0, 4.0), (180.0, 22.0), (330.0, 58.0), (600.0, 10.0))
GRASS_REPEAT_M = 10.0
GRASS = Material("grass", CityObjectLabel.TERRAIN)
WOOD = Material("grass", CityObjectLabel.VEGETATION, (0.5, 0.66, 0.6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Terrain:
    """A height field.

    Attributes:
        x_m: (C,) grid columns, metres.
        y_m: (R,) grid rows, metres.
        z_m: (R, C) heights; never above a road that crosses the cell.
    """

    x_m: Array
    y_m: Array
    z_m: Array

    def height(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Return the ground height at places; outside the grid the border's height."""
        column = np.clip((np.asarray(x, float) - self.x_m[0]) / TILE_M, 0, len(self.x_m) - 1.001)
        row = np.clip((np.asarray(y, float) - self.y_m[0]) / TILE_M, 0, len(self.y_m) - 1.001)
        c, r = column.astype(np.int64), row.astype(np.int64)
        u, v = column - c, row - r
        z00, z01 = self.z_m[r, c], self.z_m[r, c + 1]
        z10, z11 = self.z_m[r + 1, c], self.z_m[r + 1, c + 1]
        # the same diagonal as the drawn triangles
        lower = z00 + u * (z01 - z00) + v * (z11 - z01)
        upper = z00 + v * (z10 - z00) + u * (z11 - z10)
        result: Array = np.where(u >= v, lower, upper)
        return result


def shape_terrain(plan: GroundPlan, rng: np.random.Generator) -> Terrain:
    """Lay a height field just under the lowest roads, with low hills away from them."""
    rows, columns = plan.taken.shape
    extent = np.array((columns - 1, rows - 1)) * plan.cell_m
    count = np.maximum(np.ceil(extent / TILE_M).astype(int), 2) + 1
    x_m = plan.origin[0] + np.arange(count[0]) * TILE_M
    y_m = plan.origin[1] + np.arange(count[1]) * TILE_M
    grid = np.meshgrid(x_m, y_m)
    cells = plan.cells(*grid)
    reach = 2 * int(np.ceil(TILE_M / plan.cell_m)) + 1
    far = np.float32(1e6)
    lowest = np.where(np.isfinite(plan.lowest), plan.lowest, far)
    eroded = cv2.erode(lowest, np.ones((reach, reach), np.uint8))
    near_road = np.asarray(eroded[cells], np.float64)
    known = near_road < far / 2
    ceiling = np.where(known, near_road - BELOW_ROAD_M, np.inf)
    z_m = _spread(np.where(known, ceiling, 0.0), known)
    z_m[known] = ceiling[known]
    distance = plan.road_distance_m[cells].astype(np.float64)
    blend = np.clip((distance - HILL_FROM_M) / (HILL_FULL_M - HILL_FROM_M), 0.0, 1.0)
    smooth = blend * blend * (3.0 - 2.0 * blend)
    heights = np.minimum(z_m + smooth * _hills(rng, z_m.shape), ceiling)
    return Terrain(x_m=x_m, y_m=y_m, z_m=_limit_slope(heights, known))


def _spread(values: Array, known: NDArray[np.bool_]) -> Array:
    """Fill unknown nodes smoothly from known ones, near ones first."""
    weight = known.astype(np.float64)
    total_value = values * weight * 1e6
    total_weight = weight * 1e6
    for sigma, importance in ((1.5, 1e4), (4.0, 1e2), (12.0, 1.0), (40.0, 1e-2)):
        total_value += importance * np.asarray(cv2.GaussianBlur(values * weight, (0, 0), sigma))
        total_weight += importance * np.asarray(cv2.GaussianBlur(weight, (0, 0), sigma))
    filled: Array = np.asarray(total_value / np.maximum(total_weight, 1e-12), np.float64)
    return filled


def _hills(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return smooth heights of about +-`HILL_M`."""
    noise = np.asarray(cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 4.0), np.float64)
    noise *= HILL_M / max(float(noise.std()), 1e-9)
    return noise


def _limit_slope(z_m: Array, road: NDArray[np.bool_]) -> Array:
    """Lower the ground until it rises no more than `STEEPEST` away from any road."""
    anchors = np.where(road, z_m, np.inf)
    for _ in range(24):
        for axis in (0, 1):
            for shift in (-1, 1):
                moved = np.roll(anchors, shift, axis)
                edge = [slice(None), slice(None)]
                edge[axis] = slice(0, 1) if shift > 0 else slice(-1, None)
                moved[tuple(edge)] = np.inf
                anchors = np.minimum(anchors, moved + STEEPEST * TILE_M)
    return np.minimum(z_m, anchors)


def add_terrain(builder: MeshBuilder, terrain: Terrain, rng: np.random.Generator) -> None:
    """Add the height field and the hills beyond its border."""
    x, y = np.meshgrid(terrain.x_m, terrain.y_m)
    points = np.stack([x, y, terrain.z_m], axis=-1)
    slope_y, slope_x = np.gradient(terrain.z_m, TILE_M)
    normals = np.stack([-slope_x, -slope_y, np.ones_like(slope_x)], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    index = np.arange(points.shape[0] * points.shape[1]).reshape(points.shape[:2])
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)
    flat = points.reshape(-1, 3)
    builder.add(GRASS, flat, normals.reshape(-1, 3), flat[:, :2] / GRASS_REPEAT_M, triangles)
    _add_horizon(builder, terrain, rng)


def _add_horizon(builder: MeshBuilder, terrain: Terrain, rng: np.random.Generator) -> None:
    """Add land from the border of the height field outwards, rising to wooded hills."""
    x, y, z = terrain.x_m, terrain.y_m, terrain.z_m
    border = np.concatenate(
        [
            np.column_stack([x[:-1], np.full(len(x) - 1, y[0]), z[0, :-1]]),
            np.column_stack([np.full(len(y) - 1, x[-1]), y[:-1], z[:-1, -1]]),
            np.column_stack([x[:0:-1], np.full(len(x) - 1, y[-1]), z[-1, :0:-1]]),
            np.column_stack([np.full(len(y) - 1, x[0]), y[:0:-1], z[:0:-1, 0]]),
        ]
    )
    away = border[:, :2] - border[:, :2].mean(axis=0)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    base = float(np.median(z))
    rings = [border]
    for reach, rise in HORIZON_RINGS_M:
        skyline = _skyline(rng, len(border)) * rise
        rings.append(np.column_stack([border[:, :2] + away * reach, base + skyline]))
    for near, far, material in zip(rings[:-1], rings[1:], (GRASS, WOOD, WOOD, GRASS), strict=True):
        quads = np.stack([near, np.roll(near, -1, 0), np.roll(far, -1, 0), far], axis=1)
        normals = np.cross(quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        normals *= np.sign(normals[:, 2:])
        builder.add_quads(material, quads, normals, quads[..., :2] / (4.0 * GRASS_REPEAT_M))


def _skyline(rng: np.random.Generator, count: int) -> Array:
    """Return heights 0..1 of hills all round."""
    angle = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    total = np.zeros(count)
    for waves in (2, 3, 5, 9, 17):
        total += np.sin(waves * angle + rng.uniform(0.0, 2.0 * np.pi)) / np.sqrt(waves)
    total -= total.min()
    return total / max(float(total.max()), 1e-9)
