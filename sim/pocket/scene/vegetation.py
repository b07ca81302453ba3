"""Street trees, groves and the woods at the edge of town."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.pocket.geometry import OrientedBox, Vector3
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Material
from sim.pocket.scene.placing import Roadside, Site, square
from sim.pocket.scene.sampling import raised
from sim.pocket.scene.solids import add_prism, ring, upright

Array = NDArray[np.float64]

TREE_SPACING_M = 13.0
WOOD_PER_HECTARE = 11.0
MOST_WOOD_TREES = 2200
SMALL_TREE_M = (4.5, 7.5)
_TRUNK = Material("bark", CityObjectLabel.VEGETATION)
_UVS = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tree:
    """One tree: foot (3,), height, width of its crown as a share of its height, kind, look."""

    foot: Array
    height_m: float
    conifer: bool
    shade: float
    turn_rad: float
    planes: int

    @property
    def crown_m(self) -> float:
        """Return the width of the crown."""
        return self.height_m * (0.5 if self.conifer else 0.8)


def add_street_trees(site: Site, sides: Sequence[Roadside], rng: np.random.Generator) -> None:
    """Plant trees beside the roads, further off where there is no sidewalk."""
    for side in sides:
        offsets = (1.4, 2.4) if side.urban else (5.0, 14.0)
        spacing = TREE_SPACING_M * (2.2 if side.highway else 1.0)
        distance = float(rng.uniform(3.0, spacing))
        conifers = 0.1 if side.urban else 0.4
        while distance < side.length_m:
            place, _ = side.at(distance, float(rng.uniform(*offsets)))
            tree = _draw_tree(site, place, rng, conifer=bool(rng.random() < conifers))
            beside = float(np.hypot(*(place[:2] - side.at(distance, 0.0)[0][:2])))
            overhang = tree.crown_m / 2.0 - beside
            if overhang < (1.6 if side.urban else -1.5):
                _plant(site, tree, room_m=1.6)
            distance += spacing * float(rng.uniform(0.7, 1.6))


def add_woods(site: Site, rng: np.random.Generator) -> None:
    """Scatter trees over the open land, denser with distance from the roads."""
    distance = site.plan.road_distance_m
    rows, columns = distance.shape
    hectares = rows * columns * site.plan.cell_m**2 / 1e4
    count = min(int(hectares * WOOD_PER_HECTARE), MOST_WOOD_TREES)
    places = site.plan.origin + rng.random((count, 2)) * (columns, rows) * site.plan.cell_m
    luck = rng.random(count)
    away = distance[site.plan.cells(places[:, 0], places[:, 1])]
    for place, meters, chance in zip(places, away, luck, strict=True):
        if meters < 12.0 or chance > 0.25 + meters / 90.0:
            continue
        foot = np.array((place[0], place[1], 0.0))
        tree = _draw_tree(site, foot, rng, conifer=bool(rng.random() < 0.55), planes=2)
        _plant(site, tree, room_m=3.0, solid=meters < 40.0)


def _draw_tree(
    site: Site, place: Array, rng: np.random.Generator, *, conifer: bool, planes: int = 3
) -> _Tree:
    foot = np.array((place[0], place[1], float(site.terrain.height(place[0], place[1]))))
    low, high = (7.0, 13.0) if conifer or planes == 2 else SMALL_TREE_M
    return _Tree(
        foot=foot,
        height_m=float(rng.uniform(low, high)),
        conifer=conifer,
        shade=float(rng.uniform(0.78, 1.12)),
        turn_rad=float(rng.uniform(0.0, np.pi)),
        planes=planes,
    )


def _plant(site: Site, tree: _Tree, room_m: float, *, solid: bool = True) -> None:
    """Add a tree if its place is free."""
    if not site.plan.is_free(square(tree.foot, room_m)):
        return
    site.plan.take(square(tree.foot, room_m))
    trunk_m = tree.height_m * (0.16 if tree.conifer else 0.42)
    radius = 0.1 + 0.012 * tree.height_m
    foot = raised(tree.foot, -0.2)
    top = raised(tree.foot, trunk_m)
    if solid:
        rings = [ring(foot, radius, 3), ring(top, radius * 0.7, 3)]
        add_prism(site.builder, rings, _TRUNK, closed_top=False)
        site.obstacles.append(
            OrientedBox(
                location=Vector3(*(float(v) for v in raised(tree.foot, trunk_m / 2.0))),
                half_extent=Vector3(radius, radius, trunk_m / 2.0),
                yaw_deg=0.0,
                tag=CityObjectLabel.VEGETATION,
            )
        )
    _add_crown(site, tree)


def _add_crown(site: Site, tree: _Tree) -> None:
    """Add crossed planes with a picture of leaves; they light like a rounded crown."""
    shade = tree.shade
    tint = (shade, shade * (1.0 if tree.conifer else 1.03), shade * 0.95)
    texture = "conifer" if tree.conifer else "leaves"
    material = Material(texture, CityObjectLabel.VEGETATION, tint)
    low = tree.foot[2] + tree.height_m * (0.05 if tree.conifer else 0.26)
    high = tree.foot[2] + tree.height_m
    angles = tree.turn_rad + np.arange(tree.planes) * np.pi / tree.planes
    half = tree.crown_m / 2.0
    side = np.stack([np.cos(angles), np.sin(angles)], axis=1) * half
    left, right = tree.foot[:2] - side, tree.foot[:2] + side
    corners = upright(left, right, low, high)
    normals = np.stack(
        [-np.sin(angles) * 0.35, np.cos(angles) * 0.35, np.full(len(angles), 0.937)], axis=1
    )
    site.builder.add_quads(material, corners, normals, _UVS)
