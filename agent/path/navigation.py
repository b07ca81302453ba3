"""What a navigation system tells: the route on its map, from where it believes the car to be.

Its pose is the true one with an error that drifts as a satellite receiver's does: a first-order
Markov process, whose correlation falls by exp(-t / tau), the usual model of such errors in
integrated navigation (Brown and Hwang, Introduction to Random Signals and Applied Kalman Filtering,
2012, chapter 5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError
from bicameral.progress import RouteProgress, points_ahead
from bicameral.simulation import TICK_S
from bicameral.types import Pose, Route
from edge.agent_sidecar import LaneIntent

#: Keeps the draws apart from those of others who use the episode's seed.
_STREAM = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NavigationSettings:
    """How good the navigation system is.

    Attributes:
        sigma_m: Standard deviation of the drifting error of the position, in x and in y.
        heading_deg: The same of the heading.
        correlation_s: Time in which the correlation of these errors falls to 1/e.
        bias_m: Length of a further error of the position that stays the same for an episode; its
            direction is drawn.
        map_offset_m: How far right of the real lane the map has it.
        believed_sigma_m: What the navigation system believes `sigma_m` to be; None: it knows.
        intent: Whether networks with the input ``intent`` are told where the lane leads. It halves
            the routes that vision alone loses (`studies.path_towns`).
    """

    sigma_m: float = 1.0
    heading_deg: float = 1.0
    correlation_s: float = 10.0
    bias_m: float = 0.0
    map_offset_m: float = 0.0
    believed_sigma_m: float | None = None
    intent: bool = True

    def __post_init__(self) -> None:
        believed_m = self.sigma_m if self.believed_sigma_m is None else self.believed_sigma_m
        sizes = (self.sigma_m, self.heading_deg, self.bias_m, believed_m)
        known = all(0.0 <= size < math.inf for size in sizes) and math.isfinite(self.map_offset_m)
        if not (known and self.correlation_s > 0.0):
            raise ConfigError(
                f"navigation settings {self}: expected a correlation_s above 0, a finite "
                "map_offset_m, and finite numbers of at least 0 otherwise"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPath:
    """The path that the map shows: offsets (D,) and their believed standard deviations (D,)."""

    offsets_m: NDArray[np.float64]
    std_m: NDArray[np.float64]


class Navigator:
    """Follows the car with a noisy pose. The noise depends on the seed and the tick alone."""

    def __init__(self, settings: NavigationSettings) -> None:
        """Take the settings; `begin` has to follow."""
        self.settings = settings
        sigma_m = settings.sigma_m
        self._heading_rad = math.radians(settings.heading_deg)
        self._deviation = np.array([sigma_m, sigma_m, self._heading_rad])
        believed_m = settings.believed_sigma_m
        self._believed_m = sigma_m if believed_m is None else believed_m
        self._kept = math.exp(-TICK_S / settings.correlation_s)
        self._rng = np.random.default_rng(0)
        self._bias_m = (0.0, 0.0)
        self._error: NDArray[np.float64] | None = None
        self._pose = Pose(x_m=0.0, y_m=0.0)
        self._s_m = 0.0

    def begin(self, route: Route, seed: int) -> None:
        """Forget the last episode; draw what stays the same for this one."""
        self._rng = np.random.default_rng([seed, _STREAM])
        direction_rad = self._rng.uniform(-math.pi, math.pi)
        bias_m = self.settings.bias_m
        self._bias_m = bias_m * math.cos(direction_rad), bias_m * math.sin(direction_rad)
        self._error = None
        self._map = _shifted(route, self.settings.map_offset_m)
        self._progress = RouteProgress(self._map)

    def update(self, pose: Pose) -> None:
        """Follow the car to its true pose of this tick; the error drifts on by one tick."""
        draw = self._deviation * self._rng.standard_normal(3)
        if self._error is None:
            self._error = draw
        else:
            self._error = self._kept * self._error + math.sqrt(1.0 - self._kept**2) * draw
        x_m, y_m, yaw_rad = self._error.tolist()
        self._pose = replace(
            pose,
            x_m=pose.x_m + x_m + self._bias_m[0],
            y_m=pose.y_m + y_m + self._bias_m[1],
            yaw_rad=pose.yaw_rad + yaw_rad,
        )
        self._s_m = self._progress.update(self._pose.x_m, self._pose.y_m, self._pose.yaw_rad).s_m

    def path(self, distances_m: NDArray[np.float64]) -> MapPath:
        """Return the path on the map at distances (D,) ahead, as seen from the noisy pose."""
        return MapPath(
            offsets_m=self._ahead(distances_m)[:, 1],
            std_m=np.hypot(self._believed_m, distances_m * self._heading_rad),
        )

    def intent(self, spec: LaneIntent) -> NDArray[np.float64]:
        """Return a network's input ``intent``: where the lane leads, and that this is known."""
        ahead = self._ahead(spec.distances_m) / spec.scale_m
        return np.append(ahead.reshape(-1), 1.0)

    def _ahead(self, distances_m: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        return points_ahead(self._map, self._s_m, self._pose, distances_m)


def _shifted(route: Route, right_m: float) -> Route:
    """Return the route as a map has it that places it further right."""
    if right_m == 0.0:
        return route
    xyz_m = route.xyz_m.copy()
    xyz_m[:, 0] -= right_m * np.sin(route.yaw_rad)
    xyz_m[:, 1] += right_m * np.cos(route.yaw_rad)
    return replace(route, xyz_m=xyz_m)
