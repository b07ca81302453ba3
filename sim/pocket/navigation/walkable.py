"""The ground that walkers may use, as polygons: sidewalks, crosswalks, and the road beside them.

All geometry is planar, metres, CARLA's frame. Sidewalks are the map's lanes of that type. They are
shrunk by a walker's radius, because the client moves walkers as points. Crosswalks are the map's
outlines, prolonged until they reach a sidewalk at both ends. A map without any gets one before
every junction. What is still apart is joined by the shortest crossings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import carla
import numpy as np
import shapely
from numpy.typing import NDArray

from sim.pocket.scene.junctions import crosswalk_outlines, polygons_of
from sim.pocket.scene.sampling import LaneStrip, SampledSection
from sim.pocket.scene.surfaces import ASPHALT, BIKING, PARKING, SHOULDER, SIDEWALK

Array = NDArray[np.float64]

WALKER_RADIUS_M = 0.3
"""Of the client's crowd."""
_DRIVEN = (ASPHALT, SHOULDER, PARKING, BIKING)
_CLOSING_M = 0.15
"""Gaps between neighbouring lanes up to twice this are no gaps."""
_FLATNESS_M = 0.04
_SMALLEST_PART_M2 = 2.0
_ROAD_REACH_M = 25.0
"""Road further from any sidewalk than this is left out: nobody walks there."""
_LEVEL_M = 2.5
"""Lanes this far above or below a sidewalk belong to another level."""
_LONGEST_PROLONGATION_M = 6.0
_PROLONGATION_STEP_M = 0.5
_TOUCH_M2 = 0.25
_CROSSING_AT_M = (2.0, 5.0)
"""Where a crossing that the map lacks lies, before the junction."""
_SHORTEST_STREET_M = 14.0
_LONGEST_JOIN_M = 25.0
_JOIN_WIDTH_M = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkableAreas:
    """The areas, which do not overlap.

    Attributes:
        sidewalks: Where walkers are at home, without a margin of their radius.
        crosswalks: Crossings from one sidewalk to another, kerbs included.
        roads: Where only some walkers cross, kerbs included.
        raised: The whole sidewalks, which lie higher than the road.
    """

    sidewalks: shapely.Geometry
    crosswalks: shapely.Geometry
    roads: shapely.Geometry
    raised: shapely.Geometry


def find_walkable_areas(
    sections: Sequence[SampledSection], carla_map: carla.Map
) -> WalkableAreas | None:
    """Return where walkers may go on a map; None if it has no sidewalk.

    Args:
        sections: The lanes of the map.
        carla_map: The map.
    """
    driven, in_junctions = _driven_area(sections)
    whole = _sidewalk_area(sections, driven)
    inset = _without_crumbs(_shrunk(whole))
    if inset.is_empty:
        return None
    outlines = [shapely.Polygon(ring[:, :2]) for ring in crosswalk_outlines(carla_map)]
    wanted = outlines or list(_missing_crossings(sections, in_junctions))
    reached = [crossing for outline in wanted if (crossing := _prolonged(outline, inset))]
    joins = _join_parts(shapely.union_all([inset, *reached]))
    walked = shapely.union_all([inset, *reached, *joins])
    kept = shapely.union_all([part for part in polygons_of(walked) if part.area > 100.0])
    sidewalks = inset.intersection(kept) if not kept.is_empty else inset
    crosswalks = shapely.union_all([*reached, *joins]).difference(sidewalks)
    kerbs = whole.intersection(driven.buffer(WALKER_RADIUS_M + 0.05))
    near = shapely.union_all([sidewalks, crosswalks]).buffer(_ROAD_REACH_M)
    roads = shapely.union_all([driven, kerbs]).intersection(near)
    return WalkableAreas(
        sidewalks=sidewalks,
        crosswalks=crosswalks,
        roads=roads.difference(sidewalks).difference(crosswalks),
        raised=whole,
    )


def _strips(sections: Sequence[SampledSection]) -> Iterator[tuple[SampledSection, LaneStrip]]:
    for section in sections:
        for strip in section.strips:
            yield section, strip


def _area_of(strips: Sequence[LaneStrip]) -> shapely.Geometry:
    quads = np.concatenate([np.empty((0, 4, 3)), *(strip.quads for strip in strips)])
    return shapely.union_all(shapely.make_valid(shapely.polygons(quads[..., :2])))


def _driven_area(
    sections: Sequence[SampledSection],
) -> tuple[shapely.Geometry, shapely.Geometry]:
    """Return the area of all lanes beside or below walkers, and of those in junctions."""
    walked = [strip.inner for section, strip in _strips(sections) if _is_sidewalk(section, strip)]
    points = np.concatenate([np.empty((0, 3)), *walked])
    tree = shapely.STRtree(shapely.points(points[:, :2]))
    lanes = [
        (section, strip)
        for section, strip in _strips(sections)
        if section.surface(strip) in _DRIVEN and _is_level(strip, tree, points[:, 2])
    ]
    inside = [strip for section, strip in lanes if section.in_junction]
    area = _area_of([strip for _, strip in lanes])
    return _closed(area), _closed(_area_of(inside))


def _is_level(strip: LaneStrip, tree: shapely.STRtree, sidewalks_z_m: Array) -> bool:
    """Say whether a lane comes near a sidewalk, and never above or below one."""
    line = shapely.LineString(strip.inner[:, :2])
    z_m = sidewalks_z_m[tree.query(line, predicate="dwithin", distance=_ROAD_REACH_M)]
    low, high = strip.inner[:, 2].min(), strip.inner[:, 2].max()
    return len(z_m) > 0 and bool(np.all((z_m > low - _LEVEL_M) & (z_m < high + _LEVEL_M)))


def _is_sidewalk(section: SampledSection, strip: LaneStrip) -> bool:
    return section.surface(strip) is SIDEWALK


def _sidewalk_area(
    sections: Sequence[SampledSection], driven: shapely.Geometry
) -> shapely.Geometry:
    """Return the sidewalks, in junctions without what is driven over."""
    lanes = [pair for pair in _strips(sections) if _is_sidewalk(*pair)]
    beside = _area_of([strip for section, strip in lanes if not section.in_junction])
    across = _area_of([strip for section, strip in lanes if section.in_junction])
    return _closed(shapely.union_all([beside, across.difference(driven)])).simplify(_FLATNESS_M)


def _closed(shape: shapely.Geometry) -> shapely.Geometry:
    grown = shape.buffer(_CLOSING_M, join_style="mitre")
    return grown.buffer(-_CLOSING_M, join_style="mitre")


def _shrunk(shape: shapely.Geometry) -> shapely.Geometry:
    return shape.buffer(-WALKER_RADIUS_M, join_style="mitre").simplify(_FLATNESS_M)


def _without_crumbs(shape: shapely.Geometry) -> shapely.Geometry:
    large = [part for part in polygons_of(shape) if part.area >= _SMALLEST_PART_M2]
    return shapely.union_all(large)


def _prolonged(outline: shapely.Polygon, sidewalks: shapely.Geometry) -> shapely.Geometry | None:
    """Return a crosswalk that reaches a sidewalk at both ends; None if it leads nowhere."""
    box = np.array(shapely.minimum_rotated_rectangle(outline).exterior.coords)[:4]
    near = sidewalks.intersection(
        shapely.box(*outline.buffer(2.0 * _LONGEST_PROLONGATION_M).bounds)
    )
    best: tuple[float, shapely.Geometry] | None = None
    for first in (0, 1):
        corners = np.roll(box, -first, axis=0)
        middle = corners.mean(axis=0)
        ends = [_reach(corners[[i, i + 1]], middle, near) for i in (0, 2)]
        if ends[0] is None or ends[1] is None:
            continue
        length = max(ends[0][0], ends[1][0])
        if best is None or length < best[0]:
            best = length, shapely.union_all([outline, ends[0][1], ends[1][1]])
    return None if best is None else best[1]


def _reach(
    side: Array, middle: Array, sidewalks: shapely.Geometry
) -> tuple[float, shapely.Geometry] | None:
    """Prolong one (2, 2) side of a crosswalk away from its middle until it lies on a sidewalk."""
    outward = side.mean(axis=0) - middle
    outward /= max(float(np.linalg.norm(outward)), 1e-9)
    for length in np.arange(0.0, _LONGEST_PROLONGATION_M + 0.01, _PROLONGATION_STEP_M):
        far = side + outward * length
        back = side - outward * _PROLONGATION_STEP_M
        piece = shapely.Polygon([back[0], back[1], far[1], far[0]])
        if piece.intersection(sidewalks).area >= _TOUCH_M2:
            return float(length), piece
    return _reach_sideways(side, outward, sidewalks)


def _reach_sideways(
    side: Array, outward: Array, sidewalks: shapely.Geometry
) -> tuple[float, shapely.Geometry] | None:
    """Lead a side of a crosswalk to the nearest sidewalk, if that is near and not behind it."""
    to_sidewalk = shapely.shortest_line(shapely.LineString(side), sidewalks)
    if to_sidewalk.is_empty:
        return None
    start, end = np.array(to_sidewalk.coords)
    if to_sidewalk.length > _LONGEST_PROLONGATION_M or float((end - start) @ outward) < 0.0:
        return None
    foot = shapely.Point(end).buffer(_JOIN_WIDTH_M / 2.0)
    back = shapely.LineString(side - outward * _PROLONGATION_STEP_M)
    return float(to_sidewalk.length), shapely.union_all([foot, back]).convex_hull


def _missing_crossings(
    sections: Sequence[SampledSection], junctions: shapely.Geometry
) -> Iterator[shapely.Polygon]:
    """Yield a crossing before each junction, on streets with sidewalks on both sides."""
    for section in sections:
        sides = [next((s for s in section.side(sign) if _is_sidewalk(section, s)), None)
                 for sign in (-1, 1)]  # fmt: skip
        right, left = sides
        length_m = section.s_m[-1] - section.s_m[0]
        if right is None or left is None or section.in_junction or length_m < _SHORTEST_STREET_M:
            continue
        for turn in (1, -1):
            edges = [shapely.LineString(s.inner[::turn, :2]) for s in (right, left)]
            if junctions.distance(shapely.Point(section.centre[::turn][0, :2])) > 1.0:
                continue
            places = [edge.interpolate(at) for edge in edges for at in _CROSSING_AT_M]
            ring = [places[i] for i in (0, 1, 3, 2)]
            yield shapely.convex_hull(shapely.MultiPoint(ring))


def _join_parts(walked: shapely.Geometry) -> list[shapely.Geometry]:
    """Return crossings between parts that are near each other, shortest first."""
    parts = polygons_of(walked)
    pairs = shapely.STRtree(parts).query(parts, predicate="dwithin", distance=_LONGEST_JOIN_M)
    gaps = sorted((parts[i].distance(parts[j]), int(i), int(j)) for i, j in pairs.T if i < j)
    group = list(range(len(parts)))
    joins = []
    for _, i, j in gaps:
        if group[i] == group[j]:
            continue
        group = [group[i] if g == group[j] else g for g in group]
        joins.append(_bridge(parts[i], parts[j]))
    return joins


def _bridge(one: shapely.Polygon, other: shapely.Polygon) -> shapely.Geometry:
    start, end = np.array(shapely.shortest_line(one, other).coords)
    along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
    line = shapely.LineString([start - along, end + along])
    return line.buffer(_JOIN_WIDTH_M / 2.0, cap_style="flat")
