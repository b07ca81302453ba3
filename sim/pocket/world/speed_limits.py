"""Speed limits of the roads, from the ``<type><speed>`` elements of the OpenDRIVE text."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import carla

from bicameral.errors import DataError
from sim.pocket.geometry import Vector3

#: The limit of a vehicle that has not met a road with one.
DEFAULT_LIMIT_KMH = 50.0
_KMH_PER_UNIT = {"km/h": 1.0, "mph": 1.609344, "m/s": 3.6}


class SpeedLimits:
    """Answers which limit holds at a place.

    Args:
        opendrive: The map's text.
        carla_map: The same map, for the way from a place to its road.
    """

    def __init__(self, opendrive: str, carla_map: carla.Map) -> None:
        self._map = carla_map
        self._limits_kmh = _limits_by_road(opendrive)

    def at(self, location: Vector3, last_kmh: float) -> float:
        """Return the limit in km/h; roads without one, as in junctions, keep the last."""
        waypoint = self._map.get_waypoint(carla.Location(*location), True, carla.LaneType.Driving)
        if waypoint is None:
            return last_kmh
        return self._limits_kmh.get(waypoint.road_id, last_kmh)


def _limits_by_road(opendrive: str) -> dict[int, float]:
    try:
        root = ElementTree.fromstring(opendrive)  # noqa: S314 - expat bounds entity expansion
    except ElementTree.ParseError as error:
        raise DataError(f"the OpenDRIVE text is no XML: {error}") from error
    limits: dict[int, float] = {}
    for road in root.iter("road"):
        speed = road.find("type/speed")
        if speed is None:
            continue
        factor = _KMH_PER_UNIT.get(speed.get("unit", "m/s"), 3.6)
        try:
            limits[int(road.get("id", ""))] = float(speed.get("max", "")) * factor
        except ValueError:
            continue  # "no limit" and "undefined" are legal values of `max`
    return limits
