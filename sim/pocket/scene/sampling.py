"""Lane boundaries as polylines: the frame on which everything in the street is built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import carla
import numpy as np
from numpy.typing import NDArray

from sim.opendrive import Lane, LaneSection, Road
from sim.pocket.scene.surfaces import Surface, surface_of_lane

Array = NDArray[np.float64]

STEP_M = 2.0
JUNCTION_STEP_M = 1.0
LONGEST_STEP_M = 24.0
FLATNESS_M = 0.035
"""Largest distance between a boundary and its polyline; the eye does not see less from 2 m."""
SLIVER_M = 0.02
JOINT_OVERLAP_M = 0.01
"""Sections reach this far into their neighbours, so that no gap opens between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStrip:
    """One lane between two boundaries of a `SampledSection`; `inner` is nearer to the centre."""

    lane: Lane
    inner: Array
    outer: Array

    @property
    def width_m(self) -> float:
        """Return the greatest width."""
        return float(np.linalg.norm(self.outer[:, :2] - self.inner[:, :2], axis=1).max())

    @property
    def quads(self) -> Array:
        """Return the (N - 1, 4, 3) corners between neighbouring places."""
        inner, outer = self.inner, self.outer
        return np.stack([inner[:-1], outer[:-1], outer[1:], inner[1:]], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledSection:
    """A lane section at N places along the road.

    Attributes:
        road: The road it belongs to.
        section: The lane section.
        s_m: (N,) places along the road.
        centre: (N, 3) the reference boundary, metres.
        outward: (N, 2) unit vectors to the right of the road's direction.
        right: Lanes right of the reference line, from inside out.
        left: Lanes left of it, from inside out.
    """

    road: Road
    section: LaneSection
    s_m: Array
    centre: Array
    outward: Array
    right: tuple[LaneStrip, ...]
    left: tuple[LaneStrip, ...]

    @property
    def in_junction(self) -> bool:
        """Tell whether the road is part of a junction."""
        return self.road.junction_id >= 0

    @property
    def strips(self) -> tuple[LaneStrip, ...]:
        """Return all lanes, those on the left first."""
        return (*self.left, *self.right)

    @property
    def edges(self) -> tuple[Array, ...]:
        """Return all boundaries, (N, 3) each, the reference first."""
        return (self.centre, *(strip.outer for strip in self.strips))

    def surface(self, strip: LaneStrip) -> Surface:
        """Return what one of its lanes is made of."""
        return surface_of_lane(strip.lane.kind, in_junction=self.in_junction)

    def side(self, sign: int) -> tuple[LaneStrip, ...]:
        """Return the lanes right (-1) or left (+1) of the reference line, from inside out."""
        return self.right if sign < 0 else self.left


def sample_sections(carla_map: carla.Map, roads: Sequence[Road]) -> list[SampledSection]:
    """Sample every lane section of every road, coarsely where it is straight."""
    sampled = []
    for road in roads:
        for section in road.sections:
            result = _sample_section(carla_map, road, section)
            if result is not None:
                sampled.append(result)
    return sampled


def _sample_section(
    carla_map: carla.Map, road: Road, section: LaneSection
) -> SampledSection | None:
    # carla.Map answers with the neighbouring section exactly at a section's ends
    start, end = section.start_m + 1e-3, min(section.end_m, road.length_m) - 1e-3
    if end - start < 0.05:
        return None
    step = STEP_M if road.junction_id < 0 else JUNCTION_STEP_M
    s_m = np.linspace(start, end, max(2, math.ceil((end - start) / step) + 1))
    sides = {sign: _sample_side(carla_map, road, section.side(sign), s_m) for sign in (-1, 1)}
    if not sides[-1] and not sides[1]:
        return None
    _overlap_neighbours(sides)
    reference_sign = -1 if sides[-1] else 1
    centre = sides[reference_sign][0][1]
    boundaries = [centre] + [outer for side in sides.values() for _, _, outer in side]
    keep = _simplify(s_m, np.concatenate(boundaries, axis=1))
    strips: dict[int, tuple[LaneStrip, ...]] = {}
    for sign, side in sides.items():
        inner, built = centre, []
        for lane, _, outer in side:
            built.append(LaneStrip(lane=lane, inner=inner[keep], outer=outer[keep]))
            inner = outer
        strips[sign] = tuple(built)
    return SampledSection(
        road=road,
        section=section,
        s_m=s_m[keep],
        centre=centre[keep],
        outward=right_of_polyline(centre[keep]),
        right=strips[-1],
        left=strips[1],
    )


def _sample_side(
    carla_map: carla.Map, road: Road, lanes: Sequence[Lane], s_m: Array
) -> list[tuple[Lane, Array, Array]]:
    """Return (lane, inner edge, outer edge) from inside out, up to a lane the map cannot answer."""
    result = []
    for lane in lanes:
        waypoints = [carla_map.get_waypoint_xodr(road.road_id, lane.lane_id, s) for s in s_m]
        if any(waypoint is None for waypoint in waypoints):
            break
        rows = np.empty((len(s_m), 6))
        for row, waypoint in zip(rows, waypoints, strict=True):
            transform = waypoint.transform
            location, yaw = transform.location, math.radians(transform.rotation.yaw)
            half = waypoint.lane_width / 2.0
            # a lane's own right is away from the reference line, on both sides of the road
            right_x, right_y = -math.sin(yaw) * half, math.cos(yaw) * half
            row[:] = location.x, location.y, location.z, right_x, right_y, 0.0
        result.append((lane, rows[:, :3] - rows[:, 3:], rows[:, :3] + rows[:, 3:]))
    return result


def _overlap_neighbours(sides: dict[int, list[tuple[Lane, Array, Array]]]) -> None:
    """Lengthen all boundaries at both ends, in place."""
    for side in sides.values():
        for _, *edges in side:
            for edge in edges:
                for end, beside in ((0, 1), (-1, -2)):
                    step = edge[end] - edge[beside]
                    length = float(np.linalg.norm(step))
                    if length > 1e-6:
                        edge[end] += step * (JOINT_OVERLAP_M / length)


def _simplify(s_m: Array, columns: Array) -> NDArray[np.intp]:
    """Return the samples to keep (Ramer-Douglas-Peucker over all boundaries at once)."""
    keep = {0, len(s_m) - 1}
    stack = [(0, len(s_m) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        fraction = (s_m[first : last + 1] - s_m[first]) / (s_m[last] - s_m[first])
        straight = columns[first] + fraction[:, None] * (columns[last] - columns[first])
        error = np.abs(columns[first : last + 1] - straight).max(axis=1)
        worst = int(error.argmax())
        if error[worst] > FLATNESS_M:
            middle = first + min(max(worst, 1), last - first - 1)
        elif s_m[last] - s_m[first] > LONGEST_STEP_M:
            middle = (first + last) // 2
        else:
            continue
        keep.add(middle)
        stack += [(first, middle), (middle, last)]
    return np.array(sorted(keep), np.intp)


def right_of_polyline(points: Array) -> Array:
    """Return (N, 2) unit vectors to the right of a polyline's direction, metres in, CARLA frame."""
    steps = np.diff(points[:, :2], axis=0)
    steps /= np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-9)
    direction = np.concatenate([steps[:1], steps]) + np.concatenate([steps, steps[-1:]])
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    return np.stack([-direction[:, 1], direction[:, 0]], axis=1)


def raised(points: Array, height_m: float) -> Array:
    """Return (..., 3) points moved up."""
    result = points.copy()
    result[..., 2] += height_m
    return result
