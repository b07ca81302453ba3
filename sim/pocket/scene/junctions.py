"""Junction areas: asphalt between the turning lanes, crosswalks and stop lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import carla
import numpy as np
import shapely
from numpy.typing import NDArray

from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.markings import PAINT_LIFT_M
from sim.pocket.scene.mesh import Material, MeshBuilder
from sim.pocket.scene.sampling import SampledSection
from sim.pocket.scene.surfaces import ASPHALT

Array = NDArray[np.float64]

CLOSING_M = 1.5
"""Notches narrower than twice this between turning lanes are paved too."""
ISLAND_RADIUS_M = 3.0
"""A hole that holds a circle of this radius is an island and stays green."""
FILL_BELOW_M = 0.012
GAP_OVERLAP_M = 0.05
STRIPE_M = 0.5
STOP_LINE_M = 0.4
_PAINT = Material("paint", CityObjectLabel.ROAD_LINES)


def find_gaps(sections: Sequence[SampledSection]) -> Array:
    """Return (N, 3, 3) triangles, metres, that pave what the lanes of each junction leave open."""
    members: dict[int, list[SampledSection]] = defaultdict(list)
    for section in sections:
        if section.in_junction:
            members[section.road.junction_id].append(section)
    gaps = [_gaps_of(members[junction_id]) for junction_id in sorted(members)]
    return np.concatenate([np.empty((0, 3, 3)), *gaps])


def add_paving(builder: MeshBuilder, gaps: Array) -> None:
    """Add the triangles of `find_gaps` as asphalt."""
    corners = gaps.reshape(-1, 3)
    triangles = np.arange(len(corners)).reshape(-1, 3)
    uvs = corners[:, :2] / ASPHALT.repeat_m
    builder.add(ASPHALT.material, corners, (0.0, 0.0, 1.0), uvs, triangles)


def _gaps_of(sections: Sequence[SampledSection]) -> Array:
    polygons, points = [], []
    for section in sections:
        for strip in section.strips:
            if section.surface(strip).height_m > 0.0:
                continue
            ring = np.concatenate([strip.inner, strip.outer[::-1]])
            polygons.append(shapely.Polygon(ring[:, :2]).buffer(0.0))
            points.append(ring)
    if not polygons:
        return np.empty((0, 3, 3))
    paved = shapely.union_all(polygons)
    closed = paved.buffer(CLOSING_M, join_style="mitre").buffer(-CLOSING_M, join_style="mitre")
    gaps = shapely.union_all([closed, *_small_holes(closed)]).difference(paved)
    # a little under the lanes, so that no hairline of grass shows along their edges
    gaps = gaps.buffer(GAP_OVERLAP_M, join_style="mitre", mitre_limit=2.0)
    heights = np.concatenate(points)
    triangles = [np.empty((0, 3, 3))]
    for gap in polygons_of(gaps):
        for triangle in shapely.constrained_delaunay_triangles(gap).geoms:
            corners = np.array(triangle.exterior.coords)[:3]
            away = ((corners[:, None] - heights[:, :2]) ** 2).sum(axis=2)
            nearest = np.argsort(away, axis=1, kind="stable")[:, :3]
            z = heights[nearest, 2].mean(axis=1) - FILL_BELOW_M
            triangles.append(np.column_stack([corners, z])[None])
    return np.concatenate(triangles)


def polygons_of(shape: shapely.Geometry) -> list[shapely.Polygon]:
    """Return the polygons that a shape consists of."""
    parts = getattr(shape, "geoms", [shape])
    return [part for part in parts if isinstance(part, shapely.Polygon) and not part.is_empty]


def _small_holes(shape: shapely.Geometry) -> list[shapely.Polygon]:
    """Return the holes of a shape in which no island has room."""
    holes = [shapely.Polygon(hole) for part in polygons_of(shape) for hole in part.interiors]
    return [hole for hole in holes if hole.buffer(-ISLAND_RADIUS_M).is_empty]


def crosswalk_outlines(carla_map: carla.Map) -> Iterator[Array]:
    """Yield the (N, 3) corners of each crosswalk of a map, metres."""
    corners: list[tuple[float, float, float]] = []
    for location in carla_map.get_crosswalks():
        point = (location.x, location.y, location.z)
        # carla closes each outline by repeating its first corner
        if len(corners) > 2 and np.allclose(point, corners[0], atol=1e-3):
            yield np.array(corners)
            corners = []
        else:
            corners.append(point)


def add_crosswalks(builder: MeshBuilder, carla_map: carla.Map) -> None:
    """Paint the map's crosswalks of four corners as stripes along the direction of traffic."""
    for corners in crosswalk_outlines(carla_map):
        if len(corners) == 4:
            _paint_crosswalk(builder, corners)


def _paint_crosswalk(builder: MeshBuilder, corners: Array) -> None:
    """Paint stripes across the longer side of a quadrilateral."""
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    if sides[0] + sides[2] > sides[1] + sides[3]:
        corners = np.roll(corners, -1, axis=0)
    length = float(np.linalg.norm(corners[2] - corners[1]))
    count = max(1, int(length / (2.0 * STRIPE_M)))
    begin = (np.arange(count) + 0.25) / count
    end = (np.arange(count) + 0.75) / count

    def across(side: tuple[int, int], fraction: Array) -> Array:
        step = corners[side[1]] - corners[side[0]]
        result: Array = corners[side[0]] + fraction[:, None] * step
        return result

    quads = np.stack(
        [across((0, 3), begin), across((1, 2), begin), across((1, 2), end), across((0, 3), end)],
        axis=1,
    )
    quads[..., 2] += PAINT_LIFT_M + 0.008
    builder.add_quads(_PAINT, quads, (0.0, 0.0, 1.0), quads[..., :2])


def add_stop_lines(builder: MeshBuilder, lanes: Sequence[carla.Waypoint]) -> None:
    """Paint a stop line across each lane, at waypoints just before their junction."""
    quads = []
    for waypoint in lanes:
        transform = waypoint.transform
        forward, right = transform.get_forward_vector(), transform.get_right_vector()
        ahead = np.array((forward.x, forward.y, forward.z)) * STOP_LINE_M / 2.0
        half = np.array((right.x, right.y, right.z)) * (waypoint.lane_width / 2.0 - 0.1)
        location = transform.location
        middle = np.array((location.x, location.y, location.z + PAINT_LIFT_M + 0.004))
        quads.append(
            [
                middle - ahead - half,
                middle - ahead + half,
                middle + ahead + half,
                middle + ahead - half,
            ]
        )
    if quads:
        corners = np.array(quads)
        builder.add_quads(_PAINT, corners, (0.0, 0.0, 1.0), corners[..., :2])
