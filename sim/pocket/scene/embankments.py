"""What lies between the outer edge of a road and the ground: verges, slopes, walls, bridges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.pocket.scene.ground_plan import GroundPlan
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Material, MeshBuilder
from sim.pocket.scene.roads import interleave, strip_triangles
from sim.pocket.scene.sampling import SLIVER_M, SampledSection, raised, right_of_polyline
from sim.pocket.scene.solids import Box, add_box
from sim.pocket.scene.surfaces import VERGE
from sim.pocket.scene.terrain import GRASS, GRASS_REPEAT_M, Terrain

Array = NDArray[np.float64]

SLOPE_RUN = 1.6
"""Metres outwards per metre down."""
BRIDGE_DROP_M = 4.2
RAIL_DROP_M = 1.2
DECK_M = 0.9
PIER_SPACING_M = 26.0
_CONCRETE = Material("concrete", CityObjectLabel.BRIDGE)
_WALL = Material("concrete", CityObjectLabel.WALLS)
_RAIL = Material("concrete", CityObjectLabel.GUARD_RAIL, (0.86, 0.88, 0.9))


def add_embankments(
    builder: MeshBuilder,
    sections: Sequence[SampledSection],
    plan: GroundPlan,
    terrain: Terrain,
) -> None:
    """Join both outer edges of every section to the ground."""
    for section in sections:
        right, left = _outer_edge(section, -1), _outer_edge(section, 1)
        for side in (right, left):
            if side is not None:
                _add_side(builder, side, plan, terrain)
        if right is not None and left is not None and not section.in_junction:
            _add_piers(builder, right[0], left[0], plan, terrain)


def _outer_edge(section: SampledSection, sign: int) -> tuple[Array, Array] | None:
    """Return (points, unit vectors away from the road) of one outer edge at its drawn height."""
    strips = [s for s in section.side(sign) if s.width_m > SLIVER_M]
    while strips and section.surface(strips[-1]) is VERGE:
        strips.pop()
    edge = strips[-1].outer if strips else section.centre
    height = section.surface(strips[-1]).height_m if strips else 0.0
    if len(edge) < 2 or float(np.ptp(edge[:, :2], axis=0).max()) < 0.05:
        return None
    return raised(edge, height), right_of_polyline(edge) * -sign


def _add_side(
    builder: MeshBuilder, side: tuple[Array, Array], plan: GroundPlan, terrain: Terrain
) -> None:
    """Add the slope, wall or bridge side below one outer edge (points, vectors outwards)."""
    edge, outward = side
    drop = edge[:, 2] - terrain.height(edge[:, 0], edge[:, 1])
    reach = np.clip(0.5 + SLOPE_RUN * drop, 0.6, 0.5 + SLOPE_RUN * BRIDGE_DROP_M)
    free, beside = _free_reach(edge, outward, reach, plan)
    bridge = drop > BRIDGE_DROP_M
    foot = edge.copy()
    foot[:, :2] += outward * free[:, None]
    ground = terrain.height(foot[:, 0], foot[:, 1]) - 0.03
    foot[:, 2] = np.minimum(ground, edge[:, 2] - 0.02)
    wanted = ~(beside[:-1] & beside[1:])
    wall = (np.minimum(free[:-1], free[1:]) < 0.45 * reach[:-1]) & (drop[:-1] > 0.4)
    on_bridge = bridge[:-1] | bridge[1:]
    flat = (drop < 0.1)[:-1] & (drop < 0.1)[1:]
    top, underside = raised(edge, -0.01), raised(edge, -DECK_M)
    underside[:, :2] += outward * 0.02
    _add_faces(builder, (top, underside), wanted & on_bridge, _CONCRETE)
    _add_faces(builder, (top, foot), wanted & wall & ~on_bridge, _WALL)
    _add_faces(builder, (top, foot), wanted & ~wall & ~on_bridge & ~flat, GRASS)
    high = wanted & (np.minimum(drop[:-1], drop[1:]) > RAIL_DROP_M)
    _add_rail(builder, edge, outward, high)


def _free_reach(
    edge: Array, outward: Array, reach: Array, plan: GroundPlan
) -> tuple[Array, NDArray[np.bool_]]:
    """Return how far each slope may run before it meets a road, and where a road joins the edge.

    A road far below does not stop a slope's head, only its foot; one at the same height means
    that there is nothing to slope to.
    """
    free = reach.copy()
    beside = np.zeros(len(edge), bool)
    for distance in np.arange(0.8, float(reach.max()) + 0.8, 0.8)[::-1]:
        place = edge[:, :2] + outward * distance
        height = plan.lowest[plan.cells(place[:, 0], place[:, 1])]
        slope_z = edge[:, 2] - distance / SLOPE_RUN
        blocked = np.isfinite(height) & (height < edge[:, 2] + 2.5) & (height > slope_z - 3.0)
        free = np.where(blocked, np.minimum(free, max(distance - 0.7, 0.05)), free)
        if distance <= 0.8:
            beside |= blocked & (np.abs(height - edge[:, 2]) < 0.4)
    return free, beside


def _add_faces(
    builder: MeshBuilder,
    edges: tuple[Array, Array],
    chosen: NDArray[np.bool_],
    material: Material,
) -> None:
    """Add the chosen quads between a top edge and a bottom edge."""
    if not chosen.any():
        return
    top, foot = edges
    corners = np.stack([top[:-1], foot[:-1], foot[1:], top[1:]], axis=1)[chosen]
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 1] - corners[:, 3])
    away = corners[:, 1, :2] - corners[:, 0, :2]
    inwards = np.einsum("ij,ij->i", normals[:, :2], away) < 0.0
    normals[inwards] *= -1.0
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    if material is GRASS:
        uvs = corners[..., :2] / GRASS_REPEAT_M
    else:
        length = np.linalg.norm(corners[:, 3, :2] - corners[:, 0, :2], axis=1) / 4.0
        height = (corners[:, 0, 2] - corners[:, 1, 2]) / 4.0
        zero = np.zeros_like(length)
        u = np.stack([zero, zero, length, length], axis=1)
        uvs = np.stack([u, np.stack([height, zero, zero, height], axis=1)], axis=2)
    builder.add_quads(material, corners, normals, uvs)


def _add_rail(builder: MeshBuilder, edge: Array, outward: Array, chosen: NDArray[np.bool_]) -> None:
    """Add a barrier beside a high edge: a band that both sides show."""
    if not chosen.any():
        return
    line = edge.copy()
    line[:, :2] += outward * 0.12
    runs = np.flatnonzero(np.diff(np.concatenate([[0], chosen.view(np.int8), [0]])))
    for first, last in zip(runs[::2], runs[1::2], strict=True):
        part = line[first : last + 1]
        inward = np.repeat(-outward[first : last + 1], 2, axis=0)
        normals = np.column_stack([inward, np.zeros(len(inward))])
        vertices = interleave(raised(part, -0.1), raised(part, 0.8))
        along = np.concatenate(
            [[0.0], np.cumsum(np.linalg.norm(np.diff(part[:, :2], axis=0), axis=1))]
        )
        uvs = np.column_stack([np.repeat(along, 2) / 4.0, np.tile((0.0, 0.2), len(part))])
        builder.add(_RAIL, vertices, normals, uvs, strip_triangles(len(part)))


def _add_piers(
    builder: MeshBuilder, one: Array, other: Array, plan: GroundPlan, terrain: Terrain
) -> None:
    """Stand a bridge on piers, and close it from below."""
    middle = (one + other) / 2.0
    ground = terrain.height(middle[:, 0], middle[:, 1])
    high = middle[:, 2] - ground > BRIDGE_DROP_M
    spans = high[:-1] | high[1:]
    if not spans.any():
        return
    down = np.array((0.0, 0.0, DECK_M))
    below = np.stack([one[:-1], other[:-1], other[1:], one[1:]], axis=1)[spans] - down
    builder.add_quads(_CONCRETE, below, (0.0, 0.0, -1.0), below[..., :2] / 6.0)
    travelled = -PIER_SPACING_M / 2.0
    for index in range(1, len(middle)):
        travelled += float(np.linalg.norm(middle[index] - middle[index - 1]))
        if not high[index] or travelled < PIER_SPACING_M:
            continue
        x, y, z = (float(v) for v in middle[index])
        corners = np.array(
            [(x - 1.2, y - 1.2), (x + 1.2, y - 1.2), (x + 1.2, y + 1.2), (x - 1.2, y + 1.2)]
        )
        lowest = plan.lowest[plan.cells(corners[:, 0], corners[:, 1])]
        if (lowest < z - 2.0).any():
            continue
        base = float(ground[index]) - 0.5
        pier = Box(base=(x, y, base), size=(1.4, 1.4, z - DECK_M - base))
        add_box(builder, pier, _CONCRETE, None)
        travelled = 0.0
