"""What a navigator tells a driver about the place where the vehicle is on its route."""

from __future__ import annotations

from bicameral.curves import curvature_from_yaw
from bicameral.progress import RoutePosition, RouteProgress
from bicameral.types import Pose, RoadOption, Route

#: The steering follows the mean curvature over this window.
_CURVATURE_WINDOW_M = 3.0
#: How far ahead in time the speed profile is read, to make up for the lag of the drive.
_SPEED_PREVIEW_S = 0.2
#: The route counts as finished this far before its end.
_ARRIVAL_M = 1.0


class RouteGuide:
    """Follows a vehicle along a route and reads off what applies where it is.

    Args:
        route: The route to follow; its points lie evenly along it.
        start_s_m: Where on it the vehicle begins.

    Attributes:
        route: As given.
        position: The vehicle on the route, after the last `update`.
    """

    def __init__(self, route: Route, start_s_m: float = 0.0) -> None:
        self.route = route
        self.position = RoutePosition(start_s_m, 0.0, 0.0)
        self._progress = RouteProgress(route, start_s_m=start_s_m)
        self._length_m = route.length_m
        self._target_mps = route.target_speed_mps.tolist()
        self._curvature_per_m = curvature_from_yaw(
            route.s_m, route.yaw_rad, _CURVATURE_WINDOW_M
        ).tolist()

    def update(self, pose: Pose) -> RoutePosition:
        """Follow the vehicle to its pose of this tick and return where that is."""
        self.position = self._progress.update(pose.x_m, pose.y_m, pose.yaw_rad)
        return self.position

    def look_from(self, pose: Pose) -> RoutePosition:
        """Return where a pose near the vehicle would be, without moving the vehicle."""
        return self._progress.look(pose.x_m, pose.y_m, pose.yaw_rad)

    @property
    def finished(self) -> bool:
        """Whether the vehicle has reached the last metre of the route."""
        return self.position.s_m >= self._length_m - _ARRIVAL_M

    @property
    def command(self) -> RoadOption:
        """What the navigation asks for at this point of the route."""
        return RoadOption(int(self.route.command[self._nearest_index()]))

    @property
    def in_junction(self) -> bool:
        """Whether the nearest point of the route lies in a junction."""
        return bool(self.route.in_junction[self._nearest_index()])

    def curvature_at(self, s_m: float) -> float:
        """Return the curvature in 1/m at an arc length; positive turns right."""
        return self._between(self._curvature_per_m, s_m)

    def target_speed_ahead(self, speed_mps: float) -> float:
        """Return the profile's speed where the vehicle will soon be; 0 once it has arrived."""
        if self.finished:
            return 0.0
        return self._between(self._target_mps, self.position.s_m + _SPEED_PREVIEW_S * speed_mps)

    def _nearest_index(self) -> int:
        return round(self._index_at(self.position.s_m))

    def _index_at(self, s_m: float) -> float:
        """Return the index of an arc length, with its fractional part."""
        share = min(max(s_m / self._length_m, 0.0), 1.0)
        return share * (len(self._target_mps) - 1)

    def _between(self, values: list[float], s_m: float) -> float:
        place = self._index_at(s_m)
        index = min(int(place), len(values) - 2)
        share = place - index
        return values[index] * (1.0 - share) + values[index + 1] * share
