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

from agent.path.map_error import MapErrorFilter
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
    """Follows the car with a noisy pose. The noise depends on the seed and the tick alone.

    Who sees the path may say so by `learn`; from then on the pose is corrected.
    """

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
        self._learned: MapErrorFilter | None = None
        self._pose = Pose(x_m=0.0, y_m=0.0)
        self._s_m = 0.0

    def begin(self, route: Route, seed: int) -> None:
        """Forget the last episode; draw what stays the same for this one."""
        self._rng = np.random.default_rng([seed, _STREAM])
        direction_rad = self._rng.uniform(-math.pi, math.pi)
        bias_m = self.settings.bias_m
        self._bias_m = bias_m * math.cos(direction_rad), bias_m * math.sin(direction_rad)
        self._error = self._learned = None
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
        if self._learned is not None:
            self._learned.drift()
            self._correct(*self._learned.mean.tolist())

    def _correct(self, x_m: float, y_m: float, yaw_rad: float) -> None:
        noisy = self._pose
        self._pose = replace(
            noisy, x_m=noisy.x_m - x_m, y_m=noisy.y_m - y_m, yaw_rad=noisy.yaw_rad - yaw_rad
        )
        self._s_m = self._progress.look(self._pose.x_m, self._pose.y_m, self._pose.yaw_rad).s_m

    def path(self, distances_m: NDArray[np.float64]) -> MapPath:
        """Return the path on the map at distances (D,) ahead, as seen from the noisy pose."""
        ahead_m = self._ahead(distances_m)
        if self._learned is None:
            std_m = np.hypot(self._believed_m, distances_m * self._heading_rad)
        else:
            std_m = self._learned.std_m(self._slopes(distances_m, ahead_m))
        return MapPath(offsets_m=ahead_m[:, 1], std_m=std_m)

    def learn(
        self,
        distances_m: NDArray[np.float64],
        offsets_m: NDArray[np.float64],
        variances_m2: NDArray[np.float64],
    ) -> None:
        """Learn the error of the pose from the path that is seen; it counts from the next tick on.

        In junctions nothing is learned: there one may well see the way into another lane.

        Args:
            distances_m: (D,) ahead.
            offsets_m: (D,) where the path is seen.
            variances_m2: (D,) how far off that may be.
        """
        here = min(int(np.searchsorted(self._map.s_m, self._s_m)), len(self._map.s_m) - 1)
        if self._map.in_junction[here]:
            return
        if self._learned is None:
            believed = np.array([self._believed_m, self._believed_m, self._heading_rad])
            self._learned = MapErrorFilter(believed, self.settings.correlation_s)
        ahead_m = self._ahead(distances_m)
        apart_m = ahead_m[:, 1] - offsets_m
        self._learned.learn(self._slopes(distances_m, ahead_m), apart_m, variances_m2)

    def intent(self, spec: LaneIntent) -> NDArray[np.float64]:
        """Return a network's input ``intent``: where the lane leads, and that this is known."""
        ahead = self._ahead(spec.distances_m) / spec.scale_m
        return np.append(ahead.reshape(-1), 1.0)

    def _slopes(
        self, distances_m: NDArray[np.float64], ahead_m: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return (D, 3): by how much an error of x, y and yaw moves the map's path to the right.

        An error along the road moves the place on the map, too: with it, the path comes sooner.
        """
        yaw_rad = self._pose.yaw_rad
        at_m = np.minimum(self._s_m + distances_m, self._map.length_m)
        turned_rad = np.interp(at_m, self._map.s_m, self._map.yaw_rad) - yaw_rad
        along_rad = float(np.interp(self._s_m, self._map.s_m, self._map.yaw_rad))
        along = np.array([math.cos(along_rad), math.sin(along_rad)])
        right = np.array([-math.sin(yaw_rad), math.cos(yaw_rad)])
        place = np.sin(turned_rad)[:, None] * along - right
        return np.column_stack([place, -ahead_m[:, 0]])

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
