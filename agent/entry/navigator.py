"""The plan of the leaderboard as a driver's map, and caution where the plan knows no bends."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.entry.plan import PlannedRoute
from agent.path.navigation import MapPath, NavigationSettings, Navigator
from agent.path.opinions import FusedPath, PathOpinions, PathRule
from bicameral.speed_profile import LATERAL_MPS2

#: How far off position and compass may be together, beside what the plan itself leaves open.
_SIGMA_M: Final = 0.3

#: A bend is looked for between these distances ahead.
_BEND_FROM_M: Final = 10.0


class PlanNavigator(Navigator):
    """Follows the car on a planned route. The pose that it is told already comes from sensors."""

    def __init__(self, planned: PlannedRoute) -> None:
        """Take the route that every following episode is driven on."""
        # Between two points of the plan nobody knows where the lane leads.
        measured = NavigationSettings(
            sigma_m=0.0, heading_deg=0.0, believed_sigma_m=_SIGMA_M, intent=False
        )
        super().__init__(measured)
        self._planned = planned

    def path(self, distances_m: NDArray[np.float64]) -> MapPath:
        """Return the planned path; it is the less sure the farther the next point of the plan."""
        told = super().path(distances_m)
        at_m = self._s_m + distances_m
        guess_m = np.interp(at_m, self._planned.route.s_m, self._planned.guess_m)
        return MapPath(offsets_m=told.offsets_m, std_m=np.hypot(told.std_m, guess_m))

    @property
    def target_mps(self) -> float:
        """What the plan's speed profile allows where the car is."""
        route = self._planned.route
        return float(np.interp(self._s_m, route.s_m, route.target_speed_mps))


class BendCaution:
    """Drives as another rule does, but no faster than the bends allow that the path shows.

    Between two points of the plan the speed profile knows no bends.
    """

    def __init__(self, rule: PathRule, navigator: PlanNavigator) -> None:
        """Take the rule, and who knows the speed profile."""
        self._rule = rule
        self._navigator = navigator

    @property
    def name(self) -> str:
        """Name of the other rule's correction."""
        return self._rule.name

    def begin(self, seed: int) -> None:
        """Begin as the other rule does."""
        self._rule.begin(seed)

    def fuse(self, opinions: PathOpinions) -> FusedPath:
        """Return the other rule's path with a speed factor that is at most its own."""
        fused = self._rule.fuse(opinions)
        ahead_m = opinions.distances_m
        far = ahead_m >= _BEND_FROM_M
        # The arc that begins straight ahead and passes a point at offset y and distance d.
        curvature = float(np.max(np.abs(2.0 * fused.offsets_m / ahead_m**2)[far]))
        if not (math.isfinite(curvature) and curvature > 0.0):
            return fused
        safe = math.sqrt(LATERAL_MPS2 / curvature) / max(self._navigator.target_mps, 1e-6)
        return FusedPath(
            offsets_m=fused.offsets_m,
            std_m=fused.std_m,
            branch=fused.branch,
            speed_factor=min(fused.speed_factor, safe),
            diagnostics=fused.diagnostics,
        )
