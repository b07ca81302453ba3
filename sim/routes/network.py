"""The lanes of a map as a directed graph, sampled densely enough to drive on.

A lane here is one driving lane within one OpenDRIVE lane section, in driving direction. The graph
comes from `carla.Map.get_topology`; positions come from `carla.Map.get_waypoint_xodr`, so it is the
same for the pocket simulator and for CARLA's own towns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import carla
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import RouteError
from bicameral.units import mps_from_kmh, wrap_rad
from sim.opendrive import Road, read_roads

#: Sampling distance on roads, and within junctions, where radii are small (8 m: 4 mm chord error).
ROAD_STEP_M = 1.0
JUNCTION_STEP_M = 0.5

#: The highest limit that CARLA's speed signs know, 90 km/h; typed roads above it are capped.
MAX_SPEED_LIMIT_MPS = mps_from_kmh(90.0)
#: Where no road of the map has a `<speed>`: the limit that a CARLA vehicle has without signs.
DEFAULT_SPEED_LIMIT_MPS = mps_from_kmh(50.0)

_SECTION_MARGIN_M = 1e-3


class LaneKey(NamedTuple):
    """OpenDRIVE road, index of the lane section, lane (negative: right of the reference line)."""

    road: int
    section: int
    lane: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One lane of one lane section, in driving direction.

    Attributes:
        key: Its place in the map.
        xyz_m: (M, 3) float64 centre line, world frame.
        arc_m: (M,) float64 distance along the centre line, from 0.
        width_m: (M,) float64.
        speed_limit_mps: From the road's `<type><speed>`, NaN where the road has none.
        junction: Junction id, -1 outside.
        successors: Lanes that continue this one.
        left: Neighbour of the same direction that may be changed to, or None.
        right: Like `left`.
        start_yaw_rad: Heading of the first metres.
        end_yaw_rad: Heading of the last metres.
    """

    key: LaneKey
    xyz_m: NDArray[np.float64]
    arc_m: NDArray[np.float64]
    width_m: NDArray[np.float64]
    speed_limit_mps: float
    junction: int
    successors: tuple[LaneKey, ...]
    left: LaneKey | None
    right: LaneKey | None
    start_yaw_rad: float
    end_yaw_rad: float

    @property
    def length_m(self) -> float:
        """Length of the centre line."""
        return float(self.arc_m[-1])


class RoadNetwork:
    """All driving lanes of a map.

    Args:
        carla_map: A map from a server or from OpenDRIVE text.

    Attributes:
        carla_map: As given.
        lanes: Every lane by key, in sorted order.
        predecessors: The keys of the lanes that lead into a lane.

    Raises:
        RouteError: If the map has no driving lane.
    """

    def __init__(self, carla_map: carla.Map) -> None:
        self.carla_map = carla_map
        self._roads = {road.road_id: road for road in read_roads(carla_map.to_opendrive())}
        entries: dict[LaneKey, Any] = {}
        follow: dict[LaneKey, set[LaneKey]] = {}
        for start, end in carla_map.get_topology():
            for waypoint in (start, end):
                entries.setdefault(_key_of(waypoint), waypoint)
            # A lane that leads nowhere is paired with its own end.
            if _key_of(start) != _key_of(end):
                follow.setdefault(_key_of(start), set()).add(_key_of(end))
        if not entries:
            raise RouteError(
                f"the map {carla_map.name!r} has no driving lane; a route needs at least one: "
                "check the OpenDRIVE file"
            )
        self.lanes: dict[LaneKey, Lane] = {
            key: self._sample_lane(entries[key], tuple(sorted(follow.get(key, ()))))
            for key in sorted(entries)
        }
        self.predecessors: dict[LaneKey, tuple[LaneKey, ...]] = self._invert()
        self._siblings: dict[tuple[int, int, bool], tuple[LaneKey, ...]] = {}
        for key in self.lanes:
            side = (key.road, key.section, key.lane < 0)
            self._siblings[side] = (*self._siblings.get(side, ()), key)

    def locate(self, location: carla.Location) -> tuple[LaneKey, float]:
        """Find the lane nearest to a place.

        Args:
            location: Any place; it is projected to the nearest driving lane.

        Returns:
            The lane and the arc length along it, in metres.

        Raises:
            RouteError: If no lane of the network is there.
        """
        waypoint = self.carla_map.get_waypoint(location)
        lane = self.lanes.get(_key_of(waypoint)) if waypoint is not None else None
        if lane is None:
            raise RouteError(
                f"no driving lane at x={location.x:.1f} m, y={location.y:.1f} m of map "
                f"{self.carla_map.name!r}; choose a place on a road"
            )
        place = waypoint.transform.location
        distance = np.hypot(lane.xyz_m[:, 0] - place.x, lane.xyz_m[:, 1] - place.y)
        return lane.key, float(lane.arc_m[int(distance.argmin())])

    def siblings(self, key: LaneKey) -> tuple[LaneKey, ...]:
        """Return all lanes of the same direction of a lane section, the given one included."""
        return self._siblings[key.road, key.section, key.lane < 0]

    def _sample_lane(self, entry: Any, successors: tuple[LaneKey, ...]) -> Lane:
        key = _key_of(entry)
        road = self._roads[key.road]
        section = road.sections[key.section]
        begin_s, end_s = section.start_m, section.end_m
        step_m = JUNCTION_STEP_M if entry.is_junction else ROAD_STEP_M
        count = max(2, math.ceil((end_s - begin_s) / step_m) + 1)
        stations = np.linspace(begin_s + _SECTION_MARGIN_M, end_s - _SECTION_MARGIN_M, count)
        if key.lane > 0:  # left lanes run against the reference line in right-hand traffic
            stations = stations[::-1]
        waypoints = [
            waypoint
            for s in stations
            if (waypoint := self.carla_map.get_waypoint_xodr(key.road, key.lane, float(s)))
            is not None
        ]
        places = [waypoint.transform.location for waypoint in waypoints]
        xyz_m = np.array([[p.x, p.y, p.z] for p in places], dtype=np.float64)
        steps_m = np.hypot(*np.diff(xyz_m[:, :2], axis=0).T)
        arc_m = np.concatenate([[0.0], np.cumsum(np.maximum(steps_m, 1e-6))])
        yaw_rad = np.unwrap([math.radians(w.transform.rotation.yaw) for w in waypoints])
        middle = waypoints[len(waypoints) // 2]
        return Lane(
            key=key,
            xyz_m=xyz_m,
            arc_m=arc_m,
            width_m=np.array([w.lane_width for w in waypoints], dtype=np.float64),
            speed_limit_mps=_speed_limit_at(road, (begin_s + end_s) / 2.0),
            junction=int(entry.junction_id) if entry.is_junction else -1,
            successors=successors,
            left=_neighbour(middle, middle.get_left_lane(), carla.LaneChange.Left),
            right=_neighbour(middle, middle.get_right_lane(), carla.LaneChange.Right),
            start_yaw_rad=float(yaw_rad[0]),
            end_yaw_rad=float(yaw_rad[-1]),
        )

    def _invert(self) -> dict[LaneKey, tuple[LaneKey, ...]]:
        backward: dict[LaneKey, list[LaneKey]] = {key: [] for key in self.lanes}
        for key, lane in self.lanes.items():
            for successor in lane.successors:
                backward[successor].append(key)
        return {key: tuple(sorted(keys)) for key, keys in backward.items()}


def _speed_limit_at(road: Road, s_m: float) -> float:
    limit_mps = math.nan
    for start_m, value_mps in road.speed_limits:
        if start_m <= s_m:
            limit_mps = min(value_mps, MAX_SPEED_LIMIT_MPS)
    return limit_mps


def _key_of(waypoint: Any) -> LaneKey:
    return LaneKey(waypoint.road_id, waypoint.section_id, waypoint.lane_id)


def _neighbour(waypoint: Any, other: Any, permission: Any) -> LaneKey | None:
    """Return the neighbour's key if the marking and the direction allow a change to it."""
    if other is None or other.lane_type != carla.LaneType.Driving:
        return None
    same_direction = (other.lane_id < 0) == (waypoint.lane_id < 0)
    allowed = waypoint.lane_change in (permission, carla.LaneChange.Both)
    if not (same_direction and allowed and not waypoint.is_junction):
        return None
    return _key_of(other)


def heading_change_rad(lanes: list[Lane]) -> float:
    """Return the heading change along a chain of lanes, wrapped to [-pi, pi); right is positive."""
    return wrap_rad(lanes[-1].end_yaw_rad - lanes[0].start_yaw_rad)
