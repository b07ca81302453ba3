"""Which lane a failed drive ended in: perhaps the one beside its own, which leads elsewhere."""

from __future__ import annotations

import math

import carla
import numpy as np

from bicameral.types import Route
from bicameral.units import wrap_deg
from sim.evaluation.records import Trajectory

#: Lanes that differ by less than this run in the same direction.
_SAME_DIRECTION_DEG = 45.0


def ends_one_lane_off(trajectory: Trajectory, route: Route, town_map: carla.Map) -> bool:
    """Return whether the car stands, at the end, in the lane beside that of its route.

    That is: over a driving lane that runs in the direction of the route there, whose middle is one
    lane's width from the route, more or less a half.

    Args:
        trajectory: The drive.
        route: Its route.
        town_map: The map of its town.
    """
    if not len(trajectory):
        return False
    place = carla.Location(
        x=float(trajectory.x_m[-1]), y=float(trajectory.y_m[-1]), z=float(trajectory.z_m[-1])
    )
    lane = town_map.get_waypoint(place, project_to_road=False, lane_type=carla.LaneType.Driving)
    if lane is None:
        return False
    # The progress along the route is that of its nearest point, also from beside it.
    s_m = float(trajectory.progress_m[-1])
    x_m, y_m = (float(np.interp(s_m, route.s_m, route.xyz_m[:, axis])) for axis in (0, 1))
    yaw_rad = float(np.interp(s_m, route.s_m, route.yaw_rad))
    middle = lane.transform.location
    right_m = math.cos(yaw_rad) * (middle.y - y_m) - math.sin(yaw_rad) * (middle.x - x_m)
    lanes = abs(right_m) / float(np.interp(s_m, route.s_m, route.lane_width_m))
    turned_deg = abs(wrap_deg(lane.transform.rotation.yaw - math.degrees(yaw_rad)))
    return 0.5 <= lanes <= 1.5 and turned_deg <= _SAME_DIRECTION_DEG
