"""Where the signals of a map apply: the lanes in front of each stop line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import carla
import numpy as np

from bicameral.units import wrap_deg
from sim.landmarks import lanes_of
from sim.pocket.geometry import OrientedBox, Vector3

#: The area in front of a stop line that a vehicle touches while it has to obey the light: its
#: length, and how far before the line it ends, as CARLA places it. Were it longer, cars would queue
#: in it, and the Traffic Manager lets who entered at green drive on at the next red.
TRIGGER_LENGTH_M = 3.0
TRIGGER_DISTANCE_M = 1.5
#: What is left out of the outer lanes at either side, as a share of their width: who drives on the
#: lane beside touches the area of his own light only.
_TRIGGER_MARGIN = 0.25
#: Half height of the area; it begins half a metre below the road.
_TRIGGER_HALF_HEIGHT_M = 1.5
#: How far a signal may stand from the junction that it belongs to, along the lane.
_REACH_M = 40.0
_STRIDE_M = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """The lanes of one road that a light controls.

    Attributes:
        junction_id: The junction behind the stop line, -1 if there is none.
        box: The area in front of the stop line, yaw in driving direction.
    """

    junction_id: int
    box: OrientedBox


def landmarks_by_id(carla_map: carla.Map, kind: str) -> dict[str, list[carla.Landmark]]:
    """Return all landmarks of an OpenDRIVE type by signal id; references count as the signal.

    Numeric ids come in numeric order, then the others.
    """
    found: dict[str, list[carla.Landmark]] = {}
    for landmark in carla_map.get_all_landmarks_of_type(kind):
        found.setdefault(landmark.id, []).append(landmark)
    for records in found.values():
        records.sort(key=lambda record: (record.road_id, record.s))
    order = sorted(found, key=lambda name: (not name.isdigit(), len(name), name))
    return {name: found[name] for name in order}


def approaches_of(carla_map: carla.Map, records: Sequence[carla.Landmark]) -> list[Approach]:
    """Return where a light applies, one area per road, in the order of road and lane.

    Args:
        carla_map: The map.
        records: All landmarks of one signal: where it stands and where it is referred to.
    """
    stops: dict[tuple[int, int, int], tuple[carla.Waypoint, int]] = {}
    for record in records:
        for lane in _lanes(carla_map, record):
            for stop, junction_id in _stop_points(lane):
                stops.setdefault((stop.road_id, stop.section_id, stop.lane_id), (stop, junction_id))
    roads: dict[tuple[int, int, bool], list[tuple[carla.Waypoint, int]]] = {}
    for (road, section, lane_id), found in sorted(stops.items(), key=lambda item: item[0]):
        roads.setdefault((road, section, lane_id > 0), []).append(found)
    return [
        Approach(junction_id=found[0][1], box=_area([stop for stop, _ in found]))
        for found in roads.values()
    ]


def _lanes(carla_map: carla.Map, record: carla.Landmark) -> Iterator[carla.Waypoint]:
    """Yield a waypoint per driving lane that the record is valid for."""
    for lane_id in lanes_of(record):
        for s_m in (record.s, record.s - 0.5, record.s + 0.5):
            waypoint = carla_map.get_waypoint_xodr(record.road_id, lane_id, s_m)
            if waypoint is not None:
                if waypoint.lane_type == carla.LaneType.Driving:
                    yield waypoint
                break


def _stop_points(waypoint: carla.Waypoint) -> list[tuple[carla.Waypoint, int]]:
    """Return the last point before the junction on each lane leading to the signal's, and its id.

    A signal stands beside the approach, or refers to the lanes inside the junction.
    """
    if not waypoint.is_junction:
        return [_last_before_junction(waypoint)]
    behind = [waypoint]
    for _ in range(int(_REACH_M / _STRIDE_M)):
        behind = [point for ahead in behind for point in ahead.previous(_STRIDE_M)]
        if not behind or not all(point.is_junction for point in behind):
            break
    return [(point, waypoint.junction_id) for point in behind if not point.is_junction]


def _last_before_junction(waypoint: carla.Waypoint) -> tuple[carla.Waypoint, int]:
    """Follow the lane to the junction; without one within reach the signal's place is the line."""
    point = waypoint
    for _ in range(int(_REACH_M / _STRIDE_M)):
        ahead = point.next(_STRIDE_M)
        if not ahead:
            break
        if ahead[0].is_junction:
            return point, int(ahead[0].junction_id)
        point = ahead[0]
    return waypoint, -1


def _area(stops: Sequence[carla.Waypoint]) -> OrientedBox:
    """Return the box over neighbouring lanes of one road in front of their stop points."""
    to_middle_m = TRIGGER_DISTANCE_M + 0.5 * TRIGGER_LENGTH_M
    middles = []
    for stop in stops:
        back = stop.previous(to_middle_m)
        middles.append(back[0] if len(back) == 1 else stop)
    yaw = np.radians(middles[0].transform.rotation.yaw)
    forward, right = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    places = np.array([[p.transform.location.x, p.transform.location.y] for p in middles])
    ends = np.array([[p.transform.location.x, p.transform.location.y] for p in stops])
    reach = (0.5 - _TRIGGER_MARGIN) * np.array([p.lane_width for p in middles])
    across = places @ right
    low, high = (across - reach).min(), (across + reach).max()
    centre = forward * ((ends @ forward).mean() - to_middle_m) + right * 0.5 * (low + high)
    z_m = float(np.mean([p.transform.location.z for p in middles]))
    return OrientedBox(
        location=Vector3(float(centre[0]), float(centre[1]), z_m + 1.0),
        half_extent=Vector3(
            0.5 * TRIGGER_LENGTH_M, float(0.5 * (high - low)), _TRIGGER_HALF_HEIGHT_M
        ),
        yaw_deg=wrap_deg(middles[0].transform.rotation.yaw),
    )
