"""The stretch of the route ahead that the vehicle will sweep, and who comes into it when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.progress import RouteGuide
from bicameral.types import RoadUser
from bicameral.units import wrap_rad

#: Half length and half width of the Model 3.
HALF_LENGTH_M: Final = 2.4
HALF_WIDTH_M: Final = 1.08
#: Room beside the vehicle, to vehicles and to walkers.
_BESIDE_VEHICLE_M: Final = 0.3
_BESIDE_WALKER_M: Final = 0.6

_LENGTH_M: Final = 60.0
_STEP_M: Final = 1.0
#: Who is further off than the way is long and this can not come into it.
_REACH_M: Final = 20.0

#: How far others are forecast, and in which steps.
_TIMES_S: Final = np.arange(0.0, 4.01, 0.5)
_WALKER_TIMES_S: Final = 3.0

#: What the vehicle is believed to do where nobody stops it, and how hard it can brake.
_ACCELERATION_MPS2: Final = 1.5
_SLOWEST_MPS: Final = 3.0
_HARDEST_MPS2: Final = 6.0

#: Corners and the middles of the edges of a box, in half lengths and half widths.
_OUTLINE: Final = np.array(
    [(1, 1), (1, 0), (1, -1), (0, 1), (0, 0), (0, -1), (-1, 1), (-1, 0), (-1, -1)], np.float64
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encounter:
    """A moment at which somebody will cover a stretch of the way.

    Attributes:
        time_s: From now.
        first_m: Where the stretch begins, as arc length of the route.
        last_m: Where it ends.
    """

    time_s: float
    first_m: float
    last_m: float


def forecast(other: RoadUser) -> NDArray[np.float64]:
    """Return (K, 3) x, y and yaw of somebody who goes on at the same speed and turn, by time."""
    vx, vy = other.velocity_mps
    speed_mps = math.hypot(vx, vy)
    course_rad = math.atan2(vy, vx) if speed_mps > 0.1 else other.pose.yaw_rad
    turn = 0.0 if other.walker else other.yaw_rate_radps
    middle = course_rad + 0.5 * turn * _TIMES_S
    distance_m = speed_mps * _TIMES_S
    # The chord of an arc is shorter than the arc.
    distance_m = distance_m * np.sinc(0.5 * turn * _TIMES_S / math.pi)
    return np.column_stack(
        [
            other.pose.x_m + distance_m * np.cos(middle),
            other.pose.y_m + distance_m * np.sin(middle),
            other.pose.yaw_rad + turn * _TIMES_S,
        ]
    )


class WayAhead:
    """The route from the vehicle's middle on, as wide as the vehicle.

    Args:
        guide: Already updated to the vehicle's pose.
        speed_mps: Of the vehicle.

    Attributes:
        front_m: The front bumper, as arc length of the route.
        length_m: How far the way reaches beyond it.
        shortest_stop_m: How far the vehicle still goes when it brakes as hard as it can.
    """

    def __init__(self, guide: RouteGuide, speed_mps: float) -> None:
        route = guide.route
        here_m = guide.position.s_m
        self._here_m = here_m
        self._speed_mps = max(speed_mps, 0.0)
        self._cruise_mps = max(guide.target_speed_ahead(speed_mps), _SLOWEST_MPS)
        self._s = np.arange(here_m, min(here_m + _LENGTH_M, route.length_m), _STEP_M)
        self._x = np.interp(self._s, route.s_m, route.xyz_m[:, 0])
        self._y = np.interp(self._s, route.s_m, route.xyz_m[:, 1])
        self._yaw = np.interp(self._s, route.s_m, route.yaw_rad)
        index = np.searchsorted(route.s_m, self._s)
        self._in_junction = route.in_junction[np.minimum(index, len(route.s_m) - 1)]
        self.front_m = here_m + HALF_LENGTH_M
        self.length_m = _LENGTH_M
        self.shortest_stop_m = self._speed_mps**2 / (2.0 * _HARDEST_MPS2)

    def is_out_of_reach(self, other: RoadUser) -> bool:
        """Return whether somebody is too far off to matter, or on another level."""
        if not len(self._s):
            return True
        away_m = math.hypot(other.pose.x_m - self._x[0], other.pose.y_m - self._y[0])
        return away_m > _LENGTH_M + _REACH_M

    def first_covered_m(self, other: RoadUser) -> float | None:
        """Return where the stretch of the way begins that somebody covers now, None if none."""
        pose = np.array([[other.pose.x_m, other.pose.y_m, other.pose.yaw_rad]])
        covered = self._covered(pose, other)[0]
        return None if covered is None else covered[0]

    def encounters(self, poses: NDArray[np.float64], other: RoadUser) -> list[Encounter]:
        """Return when and where somebody will be on the way.

        Args:
            poses: (K, 3) of `forecast`.
            other: Who.
        """
        if other.walker:
            poses = poses[_TIMES_S <= _WALKER_TIMES_S]
        return [
            Encounter(time_s=float(_TIMES_S[index]), first_m=covered[0], last_m=covered[1])
            for index, covered in enumerate(self._covered(poses, other))
            if covered is not None
        ]

    def is_there(self, met: Encounter, margin_s: float) -> bool:
        """Return whether the vehicle will be at an encounter, give or take a time."""
        earliest = self._covers_until(met.time_s + margin_s)
        latest = self._covers_until(max(met.time_s - margin_s, 0.0))
        return earliest > met.first_m - 1.0 and latest - 2.0 * HALF_LENGTH_M < met.last_m + 1.0

    def in_junction(self, s_m: float) -> bool:
        """Return whether a place of the way is in a junction."""
        return bool(self._in_junction[self._index(s_m)])

    def along_mps(self, other: RoadUser, s_m: float) -> float:
        """Return how fast somebody moves along the way at a place of it."""
        yaw_rad = self._yaw[self._index(s_m)]
        vx, vy = other.velocity_mps
        return float(vx * math.cos(yaw_rad) + vy * math.sin(yaw_rad))

    def heading_difference_rad(self, other: RoadUser) -> float:
        """Return by how much somebody heads elsewhere than the way does where he is."""
        nearest = np.argmin(np.hypot(self._x - other.pose.x_m, self._y - other.pose.y_m))
        return abs(wrap_rad(other.pose.yaw_rad - float(self._yaw[nearest])))

    def _index(self, s_m: float) -> int:
        return int(min(max(round((s_m - self._here_m) / _STEP_M), 0), len(self._s) - 1))

    def _covers_until(self, time_s: float) -> float:
        """Return where the front will be if nobody stops the vehicle."""
        rising_s = min(time_s, max(self._cruise_mps - self._speed_mps, 0.0) / _ACCELERATION_MPS2)
        reached_mps = self._speed_mps + _ACCELERATION_MPS2 * rising_s
        way_m = 0.5 * (self._speed_mps + reached_mps) * rising_s
        return self.front_m + way_m + reached_mps * (time_s - rising_s)

    def _covered(
        self, poses: NDArray[np.float64], other: RoadUser
    ) -> list[tuple[float, float] | None]:
        """Return for each of (K, 3) poses which stretch of the way the box covers."""
        box = _OUTLINE * (other.half_length_m, other.half_width_m)
        cosine, sine = np.cos(poses[:, 2:]), np.sin(poses[:, 2:])
        x = poses[:, :1] + cosine * box[:, 0] - sine * box[:, 1]
        y = poses[:, 1:2] + sine * box[:, 0] + cosine * box[:, 1]
        dx, dy = x[:, :, None] - self._x, y[:, :, None] - self._y
        nearest = np.argmin(dx * dx + dy * dy, axis=2)
        dx = np.take_along_axis(dx, nearest[:, :, None], axis=2)[:, :, 0]
        dy = np.take_along_axis(dy, nearest[:, :, None], axis=2)[:, :, 0]
        yaw = self._yaw[nearest]
        along = dx * np.cos(yaw) + dy * np.sin(yaw)
        beside = np.abs(dy * np.cos(yaw) - dx * np.sin(yaw))
        room_m = HALF_WIDTH_M + (_BESIDE_WALKER_M if other.walker else _BESIDE_VEHICLE_M)
        s_m = self._s[nearest] + along
        # Beyond the ends of the way there is no beside; what is behind the front is past.
        on_way = (beside < room_m) & (np.abs(along) < 2.0 * _STEP_M) & (s_m > self.front_m - 1.0)
        return [
            (float(np.min(s_m[k][on_way[k]])), float(np.max(s_m[k][on_way[k]])))
            if on_way[k].any()
            else None
            for k in range(len(poses))
        ]
