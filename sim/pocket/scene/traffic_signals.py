"""Masts of traffic lights, where their heads hang, and the stop lines before them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import carla
import numpy as np
from numpy.typing import NDArray

from sim.pocket.geometry import Rotation, Transform, Vector3
from sim.pocket.scene.placing import Site, free_spot, lanes_of_landmark
from sim.pocket.scene.solids import add_beam
from sim.pocket.scene.street_furniture import STEEL, TRAFFIC_LIGHT_TYPE, add_pole

Array = NDArray[np.float64]

MAST_M = 6.0
ARM_HEIGHT_M = 5.6
LONGEST_ARM_M = 9.0
LOW_HEAD_M = 2.5
"""Height of the underside of the head on the mast."""
HEAD_HEIGHT_M = 1.05
_LOOK_BACK_M = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """A traffic light with the lanes that it stops, each just before the junction."""

    opendrive_id: str
    location: Array
    lanes: tuple[carla.Waypoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalHead:
    """A traffic-light head to draw in its state; its lamps look along the transform's x axis."""

    opendrive_id: str
    transform: Transform


def find_approaches(carla_map: carla.Map) -> list[Approach]:
    """Return every traffic light of the map that stops at least one lane."""
    locations: dict[str, Array] = {}
    lanes: dict[str, dict[tuple[int, int], carla.Waypoint]] = {}
    for landmark in carla_map.get_all_landmarks_of_type(TRAFFIC_LIGHT_TYPE):
        location = landmark.transform.location
        locations.setdefault(landmark.id, np.array((location.x, location.y, location.z)))
        found = lanes.setdefault(landmark.id, {})
        for lane in lanes_of_landmark(carla_map, landmark):
            stop = _before_junction(lane)
            if stop is not None:
                found[(stop.road_id, stop.lane_id)] = stop
    return [
        Approach(
            opendrive_id=light,
            location=location,
            lanes=tuple(lanes[light][key] for key in sorted(lanes[light])),
        )
        for light, location in locations.items()
        if lanes[light]
    ]


def _before_junction(waypoint: carla.Waypoint) -> carla.Waypoint | None:
    """Return the last place of a lane before its junction, from a place near it, or None."""
    travelled, step = 0.0, 0.5
    if waypoint.is_junction:
        while waypoint.is_junction and travelled < _LOOK_BACK_M:
            behind = waypoint.previous(step)
            if not behind:
                return None
            waypoint, travelled = behind[0], travelled + step
        return None if waypoint.is_junction else waypoint
    while travelled < _LOOK_BACK_M:
        ahead = waypoint.next(step)
        if not ahead:
            return None
        if ahead[0].is_junction:
            return waypoint
        waypoint, travelled = ahead[0], travelled + step
    return None


def stop_places(approaches: list[Approach], carla_map: carla.Map) -> list[carla.Waypoint]:
    """Return the place of each stopped lane's stop line: before the crosswalk, if it has one."""
    crosswalks = np.array([(p.x, p.y) for p in carla_map.get_crosswalks()]).reshape(-1, 2)
    places: dict[tuple[int, int], carla.Waypoint] = {}
    for approach in approaches:
        for lane in approach.lanes:
            key = (lane.road_id, lane.lane_id)
            if key not in places:
                places[key] = _behind_crosswalk(lane, crosswalks)
    return [places[key] for key in sorted(places)]


def _behind_crosswalk(lane: carla.Waypoint, corners: Array) -> carla.Waypoint:
    """Step back from the end of a lane past the corners of a crosswalk on it."""
    location, forward = lane.transform.location, lane.transform.get_forward_vector()
    offsets = corners - (location.x, location.y)
    along = offsets @ np.array((forward.x, forward.y))
    across = np.abs(offsets @ np.array((-forward.y, forward.x)))
    near = along[(across < 12.0) & (along > -9.0) & (along < 1.5)]
    back = max(0.8, 1.0 - float(near.min())) if len(near) else 0.8
    behind = lane.previous(back)
    return behind[0] if behind and not behind[0].is_junction else lane


def add_traffic_signals(site: Site, approaches: list[Approach]) -> list[SignalHead]:
    """Stand a mast for every light; return its heads: one on the mast, one on the arm."""
    heads: list[SignalHead] = []
    for approach in approaches:
        heads += _add_signal(site, approach)
    return heads


def _add_signal(site: Site, approach: Approach) -> list[SignalHead]:
    lane = min(approach.lanes, key=lambda w: _distance(w, approach.location))
    forward, right = lane.transform.get_forward_vector(), lane.transform.get_right_vector()
    heading, outward = np.array((forward.x, forward.y)), np.array((right.x, right.y))
    lane_xy = np.array((lane.transform.location.x, lane.transform.location.y))
    if float((approach.location[:2] - lane_xy) @ outward) < 0.0:
        outward = -outward
    foot = _find_foot(site, approach.location, lane_xy, outward)
    road_z = float(lane.transform.location.z)
    yaw_deg = math.degrees(math.atan2(-heading[1], -heading[0]))
    rotation = Rotation(0.0, yaw_deg, 0.0)
    if foot is None:
        return []
    add_pole(site, foot, road_z + MAST_M, 0.14)
    front = -heading * 0.22
    low = Vector3(float(foot[0] + front[0]), float(foot[1] + front[1]), road_z + LOW_HEAD_M)
    heads = [SignalHead(opendrive_id=approach.opendrive_id, transform=Transform(low, rotation))]
    reach = min(_reach(foot, lane_xy, outward), LONGEST_ARM_M)
    if reach > 1.0:
        end = np.array((*(foot - outward * reach), road_z + ARM_HEIGHT_M))
        add_beam(site.builder, (*foot, road_z + ARM_HEIGHT_M), end, 0.12, STEEL)
        hang = end[:2] + front
        high = Vector3(float(hang[0]), float(hang[1]), float(end[2]) - HEAD_HEIGHT_M * 0.6)
        heads.append(
            SignalHead(opendrive_id=approach.opendrive_id, transform=Transform(high, rotation))
        )
    return heads


def _find_foot(site: Site, location: Array, lane_xy: Array, outward: Array) -> Array | None:
    """Return where a mast stands (2,): on free ground from which its arm reaches the lane.

    Where there is none, as at corners that are paved far around a wide junction, it stands where
    the map has it, unless cars drive there.
    """
    free = free_spot(site.plan, location, outward, 0.7)
    if free is not None and _reach(free, lane_xy, outward) <= LONGEST_ARM_M:
        return free
    place: Array = location[:2]
    return free if np.isfinite(site.plan.driven[site.plan.cells(*place)]) else place


def _reach(foot: Array, lane_xy: Array, outward: Array) -> float:
    return float((foot - lane_xy) @ outward)


def _distance(waypoint: carla.Waypoint, location: Array) -> float:
    place = waypoint.transform.location
    return math.hypot(place.x - location[0], place.y - location[1])
