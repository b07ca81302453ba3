"""The height of the ground anywhere in a town, from its map.

The road surface follows the elevation of the nearest lane, also beside the lane; further away the
ground falls smoothly to the terrain. On maps with several levels the height that the caller already
has decides which road is meant.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import carla

from bicameral.units import wrap_deg
from sim.pocket.scene.surfaces import SIDEWALK_HEIGHT_M

#: Distance beyond the edge of the nearest lane up to which the ground has the lane's height.
SHOULDER_M = 4.0
#: Distance beyond the edge of the nearest lane from which on the ground is the terrain.
TERRAIN_M = 40.0
#: A sidewalk this far above or below the nearest lane belongs to another road.
_LEVEL_M = 1.0


class GroundSample(NamedTuple):
    """The ground below one point: its height and its slope along the world's axes.

    Attributes:
        z_m: Height.
        slope_x: dz/dx.
        slope_y: dz/dy.
    """

    z_m: float
    slope_x: float
    slope_y: float


class Ground:
    """Answers how high and how steep the ground is; one query costs about 20 us."""

    def __init__(self, carla_map: carla.Map, terrain_z_m: float = 0.0) -> None:
        """Keep the map.

        Args:
            carla_map: The town's map.
            terrain_z_m: Height of the terrain far from any road.
        """
        self._map = carla_map
        self._terrain_z_m = terrain_z_m

    def sample(self, x_m: float, y_m: float, z_hint_m: float) -> GroundSample:
        """Return the ground below a point.

        Args:
            x_m: World frame.
            y_m: World frame.
            z_hint_m: Roughly the height of what asks; it picks the level on bridges.
        """
        point = carla.Location(x_m, y_m, z_hint_m)
        # Without a lane type the map would also return lanes of type NONE, whose waypoints are
        # unreliable; the elevation is the road's, so the nearest driving lane tells as much.
        waypoint = self._map.get_waypoint(point, True, carla.LaneType.Driving)
        if waypoint is None:
            return GroundSample(self._terrain_z_m, 0.0, 0.0)
        transform = waypoint.transform
        lane = transform.location
        slope = math.tan(math.radians(wrap_deg(transform.rotation.pitch)))
        yaw = math.radians(transform.rotation.yaw)
        cos_yaw, sin_yaw = math.cos(yaw), math.sin(yaw)
        offset_x, offset_y = x_m - lane.x, y_m - lane.y
        along = offset_x * cos_yaw + offset_y * sin_yaw
        beyond = math.hypot(offset_x, offset_y) - 0.5 * waypoint.lane_width
        if beyond <= SHOULDER_M:
            return GroundSample(lane.z + slope * along, slope * cos_yaw, slope * sin_yaw)
        return self._beside_the_road(lane.z, min(1.0, (beyond - SHOULDER_M) / TERRAIN_M))

    def _beside_the_road(self, lane_z_m: float, share: float) -> GroundSample:
        """Blend from the lane to the terrain, as if level: nobody drives there."""
        smooth = share * share * (3.0 - 2.0 * share)
        return GroundSample(lane_z_m + smooth * (self._terrain_z_m - lane_z_m), 0.0, 0.0)

    def foothold(self, x_m: float, y_m: float, z_hint_m: float) -> float:
        """Return how high feet stand: on a raised sidewalk or on the ground.

        Args:
            x_m: World frame.
            y_m: World frame.
            z_hint_m: Roughly the height of the feet; it picks the level on bridges.
        """
        ground_m = self.sample(x_m, y_m, z_hint_m).z_m
        point = carla.Location(x_m, y_m, z_hint_m)
        waypoint = self._map.get_waypoint(point, True, carla.LaneType.Sidewalk)
        if waypoint is None:
            return ground_m
        lane = waypoint.transform.location
        beside = math.hypot(x_m - lane.x, y_m - lane.y) > 0.5 * waypoint.lane_width
        if beside or abs(lane.z - ground_m) > _LEVEL_M:
            return ground_m
        return float(lane.z) + SIDEWALK_HEIGHT_M
