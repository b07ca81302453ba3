"""Where the car is, from what the leaderboard's sensors tell: satellites, compass, speedometer.

The plan of a route comes in degrees, too. Both are turned into metres by the formula with which
the leaderboard makes the plan (`leaderboard/utils/route_manipulation.py`): a spherical Mercator
projection.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from bicameral.simulation import TICK_S
from bicameral.types import Pose

_EARTH_RADIUS_M: Final = 6378137.0

#: Share of a fix that counts. The receiver's noise is white, 5e-6 degrees or 0.55 m in each
#: direction (`leaderboard/autoagents/agent_wrapper.py`); so much of it leaves 0.09 m, while the
#: distance from wheels and compass bridges the ticks.
_FIX_GAIN: Final = 0.05

#: CARLA's towns have their origin at latitude 0; farther away from it none is known.
_EQUATOR_DEG: Final = 1.0


class GeoFrame:
    """A plane in metres around a place: x to the east, y to the south, as in CARLA's maps."""

    def __init__(self, latitude_deg: float, longitude_deg: float) -> None:
        """Put its origin there."""
        self._latitude_deg = latitude_deg
        self._longitude_deg = longitude_deg
        self._radius_m = _EARTH_RADIUS_M * math.cos(math.radians(latitude_deg))
        self._north = _mercator(latitude_deg)

    def metres(self, latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
        """Return (x, y) of a place."""
        x_m = self._radius_m * math.radians(longitude_deg - self._longitude_deg)
        return x_m, self._radius_m * (self._north - _mercator(latitude_deg))

    @property
    def may_be_mirrored(self) -> bool:
        """Whether a mirrored latitude would look like one: near the equator, see `Positioning`."""
        return abs(self._latitude_deg) < _EQUATOR_DEG


def _mercator(latitude_deg: float) -> float:
    return math.log(math.tan(math.pi / 4.0 + math.radians(latitude_deg) / 2.0))


class _Track:
    """One belief about what a latitude means, and where the car is then.

    Attributes:
        x_m: Position.
        y_m: Position.
        disagreement_m2: How far the fixes were from where the car was expected, summed up.
    """

    def __init__(self, sign: float) -> None:
        self.x_m = self.y_m = self.disagreement_m2 = 0.0
        self._sign = sign

    def update(
        self, frame: GeoFrame, fix_deg: tuple[float, float], step_m: tuple[float, float]
    ) -> None:
        """Move on by a step, then towards the fix."""
        fix_x_m, fix_y_m = frame.metres(self._sign * fix_deg[0], fix_deg[1])
        self.x_m += step_m[0]
        self.y_m += step_m[1]
        ahead_m, aside_m = fix_x_m - self.x_m, fix_y_m - self.y_m
        self.disagreement_m2 += ahead_m**2 + aside_m**2
        self.x_m += _FIX_GAIN * ahead_m
        self.y_m += _FIX_GAIN * aside_m


class Positioning:
    """Joins fixes with the distance from speedometer and compass.

    The car begins at the plan's first point. CARLA 0.9.16 tells latitudes with the wrong sign
    (github.com/carla-simulator/carla, pull request 9552), while the leaderboard writes the plan
    with the right one. So both meanings are followed, and the one is believed whose fixes came
    nearer to where the car was expected.
    """

    def __init__(self, frame: GeoFrame) -> None:
        """Begin at the origin of a frame."""
        self._frame = frame
        signs = (1.0, -1.0) if frame.may_be_mirrored else (1.0,)
        self._tracks = [_Track(sign) for sign in signs]
        self._yaw_rad: float | None = None

    def update(self, fix_deg: Sequence[float], compass_rad: float, speed_mps: float) -> Pose:
        """Return the pose of this tick.

        Args:
            fix_deg: Latitude and longitude; what follows is ignored.
            compass_rad: 0 to the north, growing clockwise. CARLA sometimes tells no number; then
                the last one holds.
            speed_mps: Forward speed.
        """
        if math.isfinite(compass_rad):
            self._yaw_rad = compass_rad - math.pi / 2.0  # of y, which points to the south
        yaw_rad = self._yaw_rad or 0.0
        moved_m = speed_mps * TICK_S
        step_m = moved_m * math.cos(yaw_rad), moved_m * math.sin(yaw_rad)
        for track in self._tracks:
            track.update(self._frame, (fix_deg[0], fix_deg[1]), step_m)
        best = min(self._tracks, key=lambda track: track.disagreement_m2)
        return Pose(x_m=best.x_m, y_m=best.y_m, yaw_rad=yaw_rad)
