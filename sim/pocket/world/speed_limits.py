"""Speed limits by place."""

from __future__ import annotations

from collections.abc import Iterable

import carla

from bicameral.units import kmh_from_mps
from sim.opendrive import Road
from sim.pocket.geometry import Vector3

#: The limit of a vehicle that has not met a road with one.
DEFAULT_LIMIT_KMH = 50.0


class SpeedLimits:
    """Answers which limit holds at a place.

    Args:
        roads: Of the map; where one has several limits, its first counts.
        carla_map: The map, for the way from a place to its road.
    """

    def __init__(self, roads: Iterable[Road], carla_map: carla.Map) -> None:
        self._map = carla_map
        self._limits_kmh = {
            road.road_id: kmh_from_mps(road.speed_limits[0][1])
            for road in roads
            if road.speed_limits
        }

    def at(self, location: Vector3, last_kmh: float) -> float:
        """Return the limit in km/h; roads without one, as in junctions, keep the last."""
        waypoint = self._map.get_waypoint(carla.Location(*location), True, carla.LaneType.Driving)
        if waypoint is None:
            return last_kmh
        return self._limits_kmh.get(waypoint.road_id, last_kmh)
