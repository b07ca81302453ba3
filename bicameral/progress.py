"""Where a vehicle is along its route: the one definition that driving and measuring share."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bicameral.types import Pose, Route
from bicameral.units import wrap_rad

#: How far from the last known place the nearest point is searched for. The window keeps the
#: tracker on its own leg where a route crosses or touches itself; forward it exceeds what a
#: vehicle covers in one tick by far, so that a tracker started late still catches up.
SEARCH_BACK_M = 10.0
SEARCH_AHEAD_M = 25.0


class RoutePosition(NamedTuple):
    """A vehicle in the coordinates of its route.

    Attributes:
        s_m: Arc length of the nearest point of the route, 0..length.
        cross_track_m: Signed distance to the route, positive when the vehicle is right of it.
        heading_error_rad: Yaw of the vehicle minus yaw of the route, in [-pi, pi), positive when
            the vehicle points right of the route.
    """

    s_m: float
    cross_track_m: float
    heading_error_rad: float


class RouteProgress:
    """Follows one vehicle along one route by a search in a window around its last place.

    The segments between route points are straight; the heading of the route is interpolated
    between its points. Beyond an end of the route the cross-track error stays the distance to the
    line through the end in the direction of the route, not to the end point, so that overrunning
    the goal is not counted as an error to the side.
    """

    def __init__(self, route: Route, *, start_s_m: float = 0.0) -> None:
        """Begin at an arc length of the route."""
        self._x, self._y = route.xyz_m[:, 0], route.xyz_m[:, 1]
        self._dx, self._dy = np.diff(self._x), np.diff(self._y)
        squared_m2 = self._dx * self._dx + self._dy * self._dy
        # By infinity, the place along a segment without length becomes its beginning.
        self._squared_m2 = np.where(squared_m2 > 0.0, squared_m2, np.inf)
        self._yaw = route.yaw_rad.tolist()
        self._s = route.s_m.tolist()
        self._segment = min(
            max(int(np.searchsorted(route.s_m, start_s_m)) - 1, 0), len(self._s) - 2
        )

    def update(self, x_m: float, y_m: float, yaw_rad: float) -> RoutePosition:
        """Return the position of the vehicle on the route and remember it for the next call."""
        self._segment, position = self._find(x_m, y_m, yaw_rad)
        return position

    def look(self, x_m: float, y_m: float, yaw_rad: float) -> RoutePosition:
        """Return the position of a place near the vehicle without moving the vehicle there."""
        return self._find(x_m, y_m, yaw_rad)[1]

    def _find(self, x_m: float, y_m: float, yaw_rad: float) -> tuple[int, RoutePosition]:
        """Search around the last place; return the nearest segment and the position."""
        here = self._s[self._segment]
        first = max(bisect_right(self._s, here - SEARCH_BACK_M) - 1, 0)
        end = min(bisect_left(self._s, here + SEARCH_AHEAD_M), len(self._s) - 1)
        window = slice(first, end)
        dx, dy = self._dx[window], self._dy[window]
        ex, ey = x_m - self._x[window], y_m - self._y[window]
        fraction = (ex * dx + ey * dy) / self._squared_m2[window]
        np.maximum(fraction, 0.0, out=fraction)
        np.minimum(fraction, 1.0, out=fraction)
        ex -= fraction * dx
        ey -= fraction * dy
        squared = ex * ex + ey * ey
        nearest = int(squared.argmin())
        place = float(fraction[nearest]), float(squared[nearest])
        found = self._position(first + nearest, *place, float(x_m), float(y_m), yaw_rad)
        return first + nearest, found

    def _position(  # noqa: PLR0913 - the scalars of one inner loop
        self, i: int, fraction: float, squared: float, x_m: float, y_m: float, yaw_rad: float
    ) -> RoutePosition:
        dx, dy = float(self._dx[i]), float(self._dy[i])
        length = math.hypot(dx, dy)
        x, y = float(self._x[i]), float(self._y[i])
        side = (dx * (y_m - y) - dy * (x_m - x)) / length if length > 0.0 else 0.0
        beyond = (i == 0 and fraction == 0.0) or (i == len(self._s) - 2 and fraction == 1.0)
        cross_track_m = side if beyond else math.copysign(math.sqrt(squared), side)
        route_yaw = self._yaw[i] + fraction * (self._yaw[i + 1] - self._yaw[i])
        s_m = self._s[i] + fraction * (self._s[i + 1] - self._s[i])
        return RoutePosition(s_m, cross_track_m, wrap_rad(float(yaw_rad) - route_yaw))


def points_ahead(
    route: Route, s_m: float, pose: Pose, distances_m: Sequence[float] | NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return where a route leads, as seen from a car.

    Args:
        route: The route; beyond its end it goes straight on.
        s_m: Where on it the car is.
        pose: Of the car; only its place and yaw matter.
        distances_m: (D,) how far ahead along the route.

    Returns:
        (D, 2) float64: x (forward) and y (right) in the car's frame, metres.
    """
    ahead_m = s_m + np.asarray(distances_m, np.float64)
    within_m = np.minimum(ahead_m, route.length_m)
    beyond_m = ahead_m - within_m
    yaw_rad = float(route.yaw_rad[-1])
    x = np.interp(within_m, route.s_m, route.xyz_m[:, 0]) + beyond_m * math.cos(yaw_rad) - pose.x_m
    y = np.interp(within_m, route.s_m, route.xyz_m[:, 1]) + beyond_m * math.sin(yaw_rad) - pose.y_m
    cosine, sine = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
    return np.stack([cosine * x + sine * y, cosine * y - sine * x], axis=1)
