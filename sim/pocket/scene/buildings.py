"""Houses along the streets and the rows behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.pocket.geometry import OrientedBox, Vector3
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Colour, Material
from sim.pocket.scene.placing import Roadside, Site, rectangle
from sim.pocket.scene.solids import Box, add_box, turn, upright
from sim.pocket.scene.textures import FACADE_REPEAT_M, SHOPFRONT_REPEAT_M

Array = NDArray[np.float64]

FLOOR_M = 3.0
BAY_M = 3.0
SHOP_FLOOR_M = 3.8
CORNICE_M = 0.45
SETBACK_M = (3.0, 6.0)
GROUND_SLACK_M = 2.5
"""Steeper ground than this under a house leaves the plot empty."""

_BLOCK_FACADES = ("facade_plaster", "facade_brick", "facade_panel", "facade_office")
_TINTS: tuple[Colour, ...] = (
    (1.0, 1.0, 1.0),
    (1.0, 0.94, 0.84),
    (0.92, 0.96, 1.0),
    (0.98, 0.88, 0.82),
    (0.86, 0.9, 0.84),
)
_ROOF = Material("roof", CityObjectLabel.BUILDINGS)
_TILES = Material("roof_tiles", CityObjectLabel.BUILDINGS)
_UNIT = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A building: centre (x, y, ground z), size along and across the street, look."""

    centre: Array
    size: tuple[float, float]
    yaw_rad: float
    floors: int
    facade: str
    tint: Colour
    shops: bool
    gable: bool


def add_buildings(site: Site, sides: Sequence[Roadside], rng: np.random.Generator) -> None:
    """Line the streets with houses, tall ones in town and small ones outside."""
    for side in sides:
        if side.highway:
            continue
        _line_street(site, side, rng)
    for side in sides:
        if side.urban:
            _fill_behind(site, side, rng)


def _line_street(site: Site, side: Roadside, rng: np.random.Generator) -> None:
    """Walk along one side of a street and build where there is room."""
    residential = not side.urban or rng.random() < 0.35
    floors = int(rng.integers(3, 7))
    distance = float(rng.uniform(2.0, 8.0))
    while distance < side.length_m - 4.0:
        width = BAY_M * float(rng.integers(3, 5) if residential else rng.integers(4, 8))
        depth = BAY_M * float(rng.integers(3, 5))
        setback = float(rng.uniform(*SETBACK_M)) + (3.0 if residential else 0.0)
        facade = "facade_house" if residential else str(rng.choice(_BLOCK_FACADES))
        centre, yaw = side.at(distance + width / 2.0, setback + depth / 2.0)
        plan = _Plan(
            centre=centre,
            size=(width, depth),
            yaw_rad=yaw,
            floors=2 if residential else max(2, floors + int(rng.integers(-1, 2))),
            facade=facade,
            tint=_TINTS[int(rng.integers(len(_TINTS)))],
            shops=not residential and rng.random() < 0.55,
            gable=residential,
        )
        gap = float(rng.uniform(5.0, 14.0) if residential else rng.choice((0.6, 0.6, 5.0, 9.0)))
        wanted = side.urban or rng.random() < 0.4
        if wanted and distance + width < side.length_m + 6.0 and _build(site, plan, rng):
            distance += width + gap
        else:
            distance += 4.0 if side.urban else 18.0


def _fill_behind(site: Site, side: Roadside, rng: np.random.Generator) -> None:
    """Put taller blocks behind the first row, for the skyline."""
    for distance in np.arange(15.0, side.length_m, 34.0):
        size = BAY_M * float(rng.integers(5, 8)), BAY_M * float(rng.integers(4, 7))
        centre, yaw = side.at(float(distance), float(rng.uniform(32.0, 75.0)))
        plan = _Plan(
            centre=centre,
            size=size,
            yaw_rad=yaw,
            floors=int(rng.integers(5, 13)),
            facade=str(rng.choice(("facade_panel", "facade_office", "facade_plaster"))),
            tint=_TINTS[int(rng.integers(len(_TINTS)))],
            shops=False,
            gable=False,
        )
        _build(site, plan, rng)


def _build(site: Site, plan: _Plan, rng: np.random.Generator) -> bool:
    """Add a building if its plot is free and level enough; tell whether it was."""
    margin = 1.4
    plot = rectangle(plan.centre, (plan.size[0] + margin, plan.size[1] + margin), plan.yaw_rad)
    if not site.plan.is_free(plot):
        return False
    ground = site.terrain.height(plot[:, 0], plot[:, 1])
    if np.ptp(ground) > GROUND_SLACK_M or abs(float(ground.mean()) - plan.centre[2]) > 4.0:
        return False
    site.plan.take(rectangle(plan.centre, plan.size, plan.yaw_rad))
    base = float(ground.max()) + 0.05
    height = _add_walls(site, plan, base, float(ground.min()) - 0.2, rng)
    if plan.gable:
        _add_gable_roof(site, plan, base + height)
    else:
        _add_flat_roof(site, plan, base + height, rng)
    half = height / 2.0
    site.obstacles.append(
        OrientedBox(
            location=Vector3(float(plan.centre[0]), float(plan.centre[1]), base + half),
            half_extent=Vector3(plan.size[0] / 2.0, plan.size[1] / 2.0, half + 0.5),
            yaw_deg=float(np.degrees(plan.yaw_rad)),
            tag=CityObjectLabel.BUILDINGS,
        )
    )
    return True


def _wall_corners(plan: _Plan, low_z: float, high_z: float) -> tuple[Array, Array, Array]:
    """Return the four walls: corners (4, 4, 3), normals (4, 3), lengths (4,)."""
    outline = rectangle(plan.centre, plan.size, plan.yaw_rad)
    following = np.roll(outline, -1, axis=0)
    corners = upright(outline, following, low_z, high_z)
    normals = turn(
        [(0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)], plan.yaw_rad
    )
    lengths = np.array([plan.size[0], plan.size[1], plan.size[0], plan.size[1]])
    return corners, normals, lengths


def _add_walls(
    site: Site, plan: _Plan, base: float, foundation: float, rng: np.random.Generator
) -> float:
    """Add foundation, ground floor and facade; return the height of the walls above `base`."""
    plinth = Material("concrete", CityObjectLabel.BUILDINGS, (0.7, 0.7, 0.7))
    shop = SHOP_FLOOR_M if plan.shops else 0.0
    height = shop + plan.floors * FLOOR_M
    if base - foundation > 0.3:
        corners, normals, lengths = _wall_corners(plan, foundation, base)
        uvs = _UNIT * np.stack([lengths / 4.0, np.full(4, 0.25)], axis=1)[:, None, :]
        site.builder.add_quads(plinth, corners, normals, uvs)
    if plan.shops:
        corners, normals, lengths = _wall_corners(plan, base, base + shop)
        repeats = np.maximum(np.rint(lengths / SHOPFRONT_REPEAT_M * 2.0) / 2.0, 0.5)
        uvs = _UNIT * np.stack([repeats, np.full(4, 0.999)], axis=1)[:, None, :]
        front = Material("shopfront", CityObjectLabel.BUILDINGS)
        site.builder.add_quads(front, corners, normals, uvs)
    corners, normals, lengths = _wall_corners(plan, base + shop, base + height)
    scale = np.stack([lengths, np.full(4, height - shop)], axis=1) / FACADE_REPEAT_M
    shift = rng.integers(0, 4, 2) / 4.0
    wall = Material(plan.facade, CityObjectLabel.BUILDINGS, plan.tint)
    site.builder.add_quads(wall, corners, normals, _UNIT * scale[:, None, :] + shift)
    return height


def _add_flat_roof(site: Site, plan: _Plan, z: float, rng: np.random.Generator) -> None:
    """Add a cornice that carries the roof, and sometimes a machine room."""
    trim = Material("concrete", CityObjectLabel.BUILDINGS, (0.84, 0.82, 0.8))
    x, y = float(plan.centre[0]), float(plan.centre[1])
    cornice = Box(
        base=(x, y, z),
        size=(plan.size[0] + 0.5, plan.size[1] + 0.5, CORNICE_M),
        yaw_rad=plan.yaw_rad,
    )
    add_box(site.builder, cornice, trim, _ROOF, repeat_m=8.0)
    if rng.random() < 0.5:
        shift = turn(rng.uniform(-0.2, 0.2, 2) * plan.size, plan.yaw_rad)
        room = Box(
            base=(x + float(shift[0]), y + float(shift[1]), z + CORNICE_M),
            size=(4.2, 3.2, 2.4),
            yaw_rad=plan.yaw_rad,
        )
        add_box(site.builder, room, trim, _ROOF)


def _add_gable_roof(site: Site, plan: _Plan, z: float) -> None:
    """Add a tiled roof with its ridge along the street."""
    rise = plan.size[1] * 0.42
    half_x, half_y = plan.size[0] / 2.0 + 0.35, plan.size[1] / 2.0 + 0.45
    eaves = z - 0.2
    local = np.array(
        [
            (-half_x, -half_y, eaves),
            (half_x, -half_y, eaves),
            (half_x, half_y, eaves),
            (-half_x, half_y, eaves),
            (-half_x, 0.0, z + rise),
            (half_x, 0.0, z + rise),
        ]
    )
    points = turn(local, plan.yaw_rad) + np.array((plan.centre[0], plan.centre[1], 0.0))
    slant = float(np.hypot(half_y, rise + 0.2))
    uvs = _UNIT * np.array((2.0 * half_x, slant)) / 5.0
    tilt = np.array((rise + 0.2, half_y)) / slant
    normals = turn([(0.0, -tilt[0], tilt[1]), (0.0, tilt[0], tilt[1])], plan.yaw_rad)
    site.builder.add_quads(_TILES, points[[[0, 1, 5, 4], [2, 3, 4, 5]]], normals, uvs)
    wall = Material("facade_house", CityObjectLabel.BUILDINGS, plan.tint)
    blank = np.array([(0.02, 0.98), (0.1, 0.98), (0.06, 1.0)])
    inset = turn([(0.35, 0.0, 0.0), (-0.35, 0.0, 0.0)], plan.yaw_rad)
    ends = turn([(-1.0, 0.0, 0.0), (1.0, 0.0, 0.0)], plan.yaw_rad)
    for corners, shift, normal in (((3, 0, 4), inset[0], ends[0]), ((1, 2, 5), inset[1], ends[1])):
        site.builder.add(wall, points[list(corners)] + shift, normal, blank, [[0, 1, 2]])
