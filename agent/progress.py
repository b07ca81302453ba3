"""Where a vehicle is on its route."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bicameral.curves import curvature_from_yaw
from bicameral.types import Pose, RoadOption, Route
from bicameral.units import wrap_rad

_BEHIND_POINTS = 3
_AHEAD_POINTS = 10
#: The steering follows the mean curvature over this window.
_CURVATURE_WINDOW_M = 3.0
#: How far ahead in time the speed profile is read, to make up for the lag of the drive.
_SPEED_PREVIEW_S = 0.2


@dataclass(frozen=True, slots=True)
class Placement:
    """A vehicle relative to its route.

    Attributes:
        s_m: Arc length of the nearest point of the route.
        cross_track_m: Distance from the route, positive to the right of it.
        heading_error_rad: Vehicle's yaw minus the route's, in [-pi, pi); positive points right.
    """

    s_m: float
    cross_track_m: float
    heading_error_rad: float


class RouteProgress:
    """Tracks a vehicle along a route; it never goes back.

    Plain lists and scalar arithmetic: for the dozen points that are looked at per tick this is
    faster than numpy.

    Args:
        route: The route to follow.

    Attributes:
        route: As given.
        placement: The last one; before the first `update`, the route's start.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        self.placement = Placement(0.0, 0.0, 0.0)
        self._index = 0
        self._x = route.xyz_m[:, 0].tolist()
        self._y = route.xyz_m[:, 1].tolist()
        self._yaw = route.yaw_rad.tolist()
        self._s = route.s_m.tolist()
        self._target = route.target_speed_mps.tolist()
        self._curvature = curvature_from_yaw(route.s_m, route.yaw_rad, _CURVATURE_WINDOW_M).tolist()

    def update(self, pose: Pose) -> Placement:
        """Follow the vehicle to its pose of the next tick.

        Args:
            pose: Not more than about 10 m further along the route than the last one.

        Returns:
            The placement; its arc length is never less than before.
        """
        index, found = self._search(pose, self._index)
        self._index = max(self._index, index)
        self.placement = Placement(
            max(found.s_m, self.placement.s_m), found.cross_track_m, found.heading_error_rad
        )
        return self.placement

    def relocate(self, pose: Pose) -> Placement:
        """Find a vehicle that was put somewhere else; also backwards.

        Args:
            pose: Anywhere; of the points of the route that lead the same way, the nearest counts.

        Returns:
            The placement.
        """
        xy_m = self.route.xyz_m[:, :2]
        distance_m = np.hypot(xy_m[:, 0] - pose.x_m, xy_m[:, 1] - pose.y_m)
        against = np.cos(self.route.yaw_rad - pose.yaw_rad) < 0.0
        self._index = int(np.argmin(distance_m + 1e3 * against))
        self._index, self.placement = self._search(pose, self._index)
        return self.placement

    def look_from(self, pose: Pose) -> Placement:
        """Return the placement of a pose near the vehicle without moving the vehicle."""
        return self._search(pose, self._index)[1]

    @property
    def finished(self) -> bool:
        """Whether the vehicle has reached the last metre of the route."""
        return bool(self.placement.s_m >= self._s[-1] - 1.0)

    @property
    def command(self) -> RoadOption:
        """What the navigation asks for at this point of the route."""
        index = min(round(self._fraction(self.placement.s_m)), len(self._s) - 1)
        return RoadOption(int(self.route.command[index]))

    @property
    def in_junction(self) -> bool:
        """Whether the nearest point of the route lies in a junction."""
        index = min(round(self._fraction(self.placement.s_m)), len(self._s) - 1)
        return bool(self.route.in_junction[index])

    def curvature_at(self, s_m: float) -> float:
        """Return the curvature in 1/m at an arc length; positive turns right."""
        return self._between(self._curvature, s_m)

    def target_speed_ahead(self, speed_mps: float) -> float:
        """Return the profile's speed where the vehicle will soon be; 0 once it has arrived."""
        if self.finished:
            return 0.0
        return self._between(self._target, self.placement.s_m + _SPEED_PREVIEW_S * speed_mps)

    def _fraction(self, s_m: float) -> float:
        """Return the index of an arc length, with its fractional part; points lie evenly."""
        share = min(max(s_m / self._s[-1], 0.0), 1.0)
        return float(share * (len(self._s) - 1))

    def _between(self, values: list[float], s_m: float) -> float:
        place = self._fraction(s_m)
        index = min(int(place), len(values) - 2)
        share = place - index
        return values[index] * (1.0 - share) + values[index + 1] * share

    def _search(self, pose: Pose, around: int) -> tuple[int, Placement]:
        """Find the nearest point of the polyline within the window around an index."""
        x, y = pose.x_m, pose.y_m
        xs, ys = self._x, self._y
        low = max(around - _BEHIND_POINTS, 0)
        high = min(around + _AHEAD_POINTS, len(xs) - 1)
        nearest, best = low, math.inf
        for i in range(low, high + 1):
            distance = (xs[i] - x) ** 2 + (ys[i] - y) ** 2
            if distance < best:
                nearest, best = i, distance
        begin = min(nearest, len(xs) - 2)
        if begin > 0 and nearest == begin:
            # The foot of the perpendicular lies behind the nearest point: the segment before it.
            ahead = (x - xs[begin]) * (xs[begin + 1] - xs[begin]) + (y - ys[begin]) * (
                ys[begin + 1] - ys[begin]
            )
            begin -= ahead < 0.0
        dx, dy = xs[begin + 1] - xs[begin], ys[begin + 1] - ys[begin]
        share = ((x - xs[begin]) * dx + (y - ys[begin]) * dy) / (dx * dx + dy * dy)
        share = min(max(share, 0.0), 1.0)
        yaw = self._yaw[begin] * (1.0 - share) + self._yaw[begin + 1] * share
        off_x, off_y = x - xs[begin] - share * dx, y - ys[begin] - share * dy
        return nearest, Placement(
            self._s[begin] * (1.0 - share) + self._s[begin + 1] * share,
            -math.sin(yaw) * off_x + math.cos(yaw) * off_y,
            wrap_rad(pose.yaw_rad - yaw),
        )
