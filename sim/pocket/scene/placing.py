"""Finding ground for things that stand beside the road."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import carla
import numpy as np
from numpy.typing import NDArray

from sim.landmarks import lanes_of
from sim.pocket.geometry import OrientedBox
from sim.pocket.scene.ground_plan import GroundPlan
from sim.pocket.scene.mesh import MeshBuilder
from sim.pocket.scene.sampling import SLIVER_M, SampledSection, right_of_polyline
from sim.pocket.scene.solids import turn
from sim.pocket.scene.surfaces import VERGE, surface_of_lane
from sim.pocket.scene.terrain import Terrain

Array = NDArray[np.float64]

HIGHWAY_MPS = 21.0
"""Roads faster than this (75 km/h) get no houses beside them."""
HIGHWAY_LANES = 3


@dataclass(slots=True, kw_only=True)
class Site:
    """The town under construction."""

    builder: MeshBuilder
    plan: GroundPlan
    terrain: Terrain
    obstacles: list[OrientedBox]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roadside:
    """One outer edge of a road outside junctions.

    Attributes:
        points: (N, 3) metres, along the road's direction.
        outward: (N, 2) unit vectors away from the road.
        along_m: (N,) distance from the first point.
        urban: Whether there is a sidewalk on this side.
        highway: Whether the road is fast and wide.
    """

    points: Array
    outward: Array
    along_m: Array
    urban: bool
    highway: bool

    @property
    def length_m(self) -> float:
        """Return the length of the edge."""
        return float(self.along_m[-1])

    def at(self, distance_m: float, offset_m: float) -> tuple[Array, float]:
        """Return a place (3,) at `offset_m` outwards of the edge, and the road's yaw (rad)."""
        point = np.array([np.interp(distance_m, self.along_m, c) for c in self.points.T])
        index = int(np.searchsorted(self.along_m, distance_m, side="right")) - 1
        index = min(max(index, 0), len(self.points) - 2)
        away = self.outward[index]
        point[:2] += away * offset_m
        step = self.points[index + 1] - self.points[index]
        return point, float(np.arctan2(step[1], step[0]))


def roadsides(sections: Sequence[SampledSection]) -> Iterator[Roadside]:
    """Yield both outer edges of every section outside junctions."""
    for section in sections:
        if section.in_junction:
            continue
        limits = section.road.speed_limits
        speed = limits[0][1] if limits else 0.0
        for sign in (-1, 1):
            strips = [s for s in section.side(sign) if s.width_m > SLIVER_M]
            strips = [s for s in strips if surface_of_lane(s.lane.kind) is not VERGE]
            edge = strips[-1].outer if strips else section.centre
            along = np.linalg.norm(np.diff(edge[:, :2], axis=0), axis=1)
            if along.sum() < 3.0:
                continue
            urban = any(strip.lane.kind in ("sidewalk", "walking") for strip in strips)
            lanes = sum(strip.lane.kind == "driving" for strip in strips)
            yield Roadside(
                points=edge,
                outward=right_of_polyline(edge) * -sign,
                along_m=np.concatenate([[0.0], np.cumsum(along)]),
                urban=urban,
                highway=not urban and (speed > HIGHWAY_MPS or lanes >= HIGHWAY_LANES),
            )


def lanes_of_landmark(carla_map: carla.Map, landmark: carla.Landmark) -> list[carla.Waypoint]:
    """Return the driving lanes that a signal speaks to, at its place, outermost first."""
    lanes = []
    for lane_id in sorted(lanes_of(landmark), key=abs, reverse=True):
        waypoint = carla_map.get_waypoint_xodr(landmark.road_id, lane_id, landmark.s)
        if waypoint is not None and waypoint.lane_type == carla.LaneType.Driving:
            lanes.append(waypoint)
    return lanes


def rectangle(centre: Array, size: tuple[float, float], yaw_rad: float) -> Array:
    """Return the (4, 2) corners of a rectangle."""
    half = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]) * size
    return turn(half, yaw_rad) + centre[:2]


def square(centre: Array, side_m: float) -> Array:
    """Return the (4, 2) corners of a square along the axes."""
    return rectangle(centre, (side_m, side_m), 0.0)


def free_spot(plan: GroundPlan, start: Array, direction: Array, side_m: float) -> Array | None:
    """Return the free place (2,) nearest to `start`, or None if there is none within 16 m.

    Of equally near places the one along `direction`, a unit vector, comes first.
    """
    turns = [turn(direction[:2], np.pi / 4.0 * eighth) for eighth in (0, 1, -1, 2, -2, 3, -3, 4)]
    for distance in np.arange(0.0, 16.0, 0.5):
        for away in turns[: 8 if distance > 0.0 else 1]:
            place: Array = start[:2] + away * distance
            if plan.is_free(square(place, side_m)):
                return place
    return None
