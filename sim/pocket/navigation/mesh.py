"""A mesh of triangles over the walkable areas, whose neighbours share whole edges.

All outlines are cut at each other on a grid of a centimetre. What lies between the cuts belongs to
one area, and its triangles have no corners but the cuts, so that two triangles side by side always
have two corners in common: that is how a walker comes from one to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import shapely
from numpy.typing import NDArray

from sim.pocket.navigation.walkable import WalkableAreas
from sim.pocket.scene.junctions import polygons_of
from sim.pocket.scene.sampling import SampledSection
from sim.pocket.scene.surfaces import SIDEWALK_HEIGHT_M

Array = NDArray[np.float64]

_GRID_M = 0.01
_LONGEST_EDGE_M = 12.0
"""The client estimates ways from the middles of edges; long edges would mislead it."""
_SLIVER_M2 = 1e-5
_KERB_M = 0.05


class Area(IntEnum):
    """What CARLA's client calls the kinds of ground, with its numbers."""

    SIDEWALK = 1
    CROSSWALK = 2
    ROAD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NavigationMesh:
    """Triangles on which walkers walk.

    Attributes:
        vertices: (V, 3) float64, metres, CARLA's frame; where feet stand.
        triangles: (T, 3) int64, vertices in counter-clockwise order seen from above in CARLA's
            frame, where y points to the right of x, so that the shoelace sum is negative.
        areas: (T,) uint8, an `Area` each.
    """

    vertices: Array
    triangles: NDArray[np.int64]
    areas: NDArray[np.uint8]


def build_mesh(areas: WalkableAreas, sections: Sequence[SampledSection]) -> NavigationMesh:
    """Return the mesh of the areas.

    Args:
        areas: Where walkers may go.
        sections: The lanes of the map, which say how high it is.
    """
    faces, kinds = _faces(areas)
    corners, owners = _triangulated(faces)
    plan, indices = np.unique(
        np.rint(corners.reshape(-1, 2) / _GRID_M), axis=0, return_inverse=True
    )
    plan *= _GRID_M
    triangles, kept = _wound(plan, indices.reshape(-1, 3))
    heights = _heights(plan, sections)
    heights += SIDEWALK_HEIGHT_M * _inside(areas.raised.buffer(-_KERB_M), plan)
    return NavigationMesh(
        vertices=np.column_stack([plan, heights]),
        triangles=triangles,
        areas=kinds[owners[kept]],
    )


def neighbours(triangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (T, 3): the triangle beyond each edge, -1 where there is none.

    Edge i goes from corner i to the next one.
    """
    following = np.roll(triangles, -1, axis=1)
    edges = np.stack([triangles, following], axis=2).reshape(-1, 2)
    edges.sort(axis=1)
    order = np.lexsort((edges[:, 0], edges[:, 1]))
    same = np.all(edges[order[1:]] == edges[order[:-1]], axis=1)
    one, other = order[:-1][same], order[1:][same]
    beyond = np.full(len(edges), -1, np.int64)
    beyond[one], beyond[other] = other // 3, one // 3
    return beyond.reshape(-1, 3)


def _faces(areas: WalkableAreas) -> tuple[list[shapely.Polygon], NDArray[np.uint8]]:
    """Cut the areas along all outlines; returns the pieces and the area of each."""
    kinds = {
        Area.SIDEWALK: areas.sidewalks,
        Area.CROSSWALK: areas.crosswalks,
        Area.ROAD: areas.roads,
    }
    kerb = areas.raised.boundary.intersection(
        shapely.union_all([areas.crosswalks, areas.roads]).buffer(_GRID_M)
    )
    outlines = shapely.segmentize(
        [*(shape.boundary for shape in kinds.values()), kerb], _LONGEST_EDGE_M
    )
    cuts = shapely.union_all(outlines, grid_size=_GRID_M)
    pieces = polygons_of(shapely.polygonize(shapely.get_parts(cuts)))
    inside = shapely.point_on_surface(pieces)
    found = np.zeros(len(pieces), np.uint8)
    for kind, shape in reversed(kinds.items()):
        shapely.prepare(shape)
        found[shapely.contains(shape, inside)] = kind
    chosen = np.flatnonzero(found)
    return [pieces[index] for index in chosen], found[chosen]


def _triangulated(faces: Sequence[shapely.Polygon]) -> tuple[Array, NDArray[np.intp]]:
    """Return (T, 3, 2) corners of triangles, and the face that each belongs to."""
    parts, owners = shapely.get_parts(
        shapely.constrained_delaunay_triangles(list(faces)), return_index=True
    )
    corners = shapely.get_coordinates(shapely.get_exterior_ring(parts)).reshape(-1, 4, 2)
    return corners[:, :3], owners


def _wound(plan: Array, triangles: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Turn all triangles the same way; returns them without slivers, and which they were."""
    a, b, c = (plan[triangles[:, corner]] for corner in range(3))
    doubled = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    turned = np.where(doubled[:, None] > 0.0, triangles[:, ::-1], triangles)
    kept = np.flatnonzero(np.abs(doubled) > 2.0 * _SLIVER_M2)
    return turned[kept], kept


def _heights(plan: Array, sections: Sequence[SampledSection]) -> Array:
    """Return the height of the nearest edge of a lane at each place."""
    edges = [edge for section in sections for edge in section.edges]
    pieces = np.concatenate([np.stack([edge[:-1], edge[1:]], axis=1) for edge in edges])
    lines = shapely.linestrings(pieces[..., :2])
    points = shapely.points(plan)
    nearest = shapely.STRtree(lines).nearest(points)
    share = shapely.line_locate_point(lines[nearest], points, normalized=True)
    low, high = pieces[nearest, 0, 2], pieces[nearest, 1, 2]
    result: Array = low + np.nan_to_num(share) * (high - low)
    return result


def _inside(shape: shapely.Geometry, plan: Array) -> NDArray[np.bool_]:
    shapely.prepare(shape)
    result: NDArray[np.bool_] = shapely.contains_xy(shape, plan[:, 0], plan[:, 1])
    return result
