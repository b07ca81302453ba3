"""The driving score of the CARLA leaderboard, in the versions that differ.

Sources: ``leaderboard/utils/statistics_manager.py`` on the branches ``leaderboard-2.0`` (the same
as ``master``) and ``leaderboard-2.1``, and
``srunner/scenariomanager/scenarioatomics/atomic_criteria.py`` for what an infraction is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bicameral.types import Route
from sim.evaluation.limits import Status
from sim.evaluation.records import EpisodeRecord
from sim.metrics.episode import (
    collision_kind,
    count_red_lights,
    count_stop_signs_passed,
    route_completion,
)

#: Order of the leaderboard's files.
INFRACTION_KEYS = (
    "collisions_layout",
    "collisions_pedestrian",
    "collisions_vehicle",
    "red_light",
    "stop_infraction",
    "outside_route_lanes",
    "min_speed_infractions",
    "yield_emergency_vehicle_infractions",
    "scenario_timeouts",
    "route_dev",
    "vehicle_blocked",
    "route_timeout",
)

_COLLISION_KEYS = {
    "vehicle": "collisions_vehicle",
    "walker": "collisions_pedestrian",
    "static": "collisions_layout",
}

#: Half a lane and this much beside it is still in the lane (OutsideRouteLanesTest,
#: ``ALLOWED_OUT_DISTANCE``).
ALLOWED_OUT_M = 1.3

#: 2.0: every infraction multiplies the penalty by its factor.
_FACTORS_2_0: Mapping[str, float] = MappingProxyType(
    {
        "collisions_pedestrian": 0.5,
        "collisions_vehicle": 0.6,
        "collisions_layout": 0.65,
        "red_light": 0.7,
        "stop_infraction": 0.8,
    }
)

#: 2.1: every infraction adds its coefficient to the denominator.
_COEFFICIENTS_2_1: Mapping[str, float] = MappingProxyType(
    {
        "collisions_pedestrian": 1.0,
        "collisions_vehicle": 0.7,
        "collisions_layout": 0.6,
        "red_light": 0.4,
        "stop_infraction": 0.25,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Infractions:
    """What a drive did wrong in the leaderboard's terms.

    Attributes:
        messages: One sentence per event, by infraction key; every key is there.
        outside_m: Metres driven outside the lanes of the route.
        outside_share: `outside_m` by all metres driven, 0..1.
    """

    messages: Mapping[str, list[str]]
    outside_m: float
    outside_share: float

    def count(self, key: str) -> int:
        """Return the number of events of one kind."""
        return len(self.messages[key])


def find_infractions(record: EpisodeRecord, route: Route) -> Infractions:
    """Collect the infractions of a drive.

    Red lights and stop signs count among others only. In an empty town, where the evaluation is
    about steering, red lights are a metric of their own and no infraction.

    Args:
        record: The drive.
        route: Its route.
    """
    messages: dict[str, list[str]] = {key: [] for key in INFRACTION_KEYS}
    for collision in record.collisions:
        messages[_COLLISION_KEYS[collision_kind(collision)]].append(
            f"Agent collided against object with type={collision.other} "
            f"at tick {collision.frame} with impulse {round(collision.impulse_ns, 1)}"
        )
    if record.in_traffic:
        passed = count_red_lights(record).passed
        messages["red_light"] = ["Agent ran a red light"] * passed
        messages["stop_infraction"] = ["Agent ran a stop"] * count_stop_signs_passed(record)
    outside_m, share = _outside_lanes(record, route)
    if outside_m > 0.0:
        # Readers take the metres from the ninth word, as the leaderboard itself does.
        messages["outside_route_lanes"].append(
            f"Agent went outside its route lanes for about {round(outside_m, 3)} meters "
            f"({round(100.0 * share, 2)}% of the completed route)"
        )
    ends = {
        Status.DEVIATED: ("route_dev", "Agent deviated from the route"),
        Status.BLOCKED: ("vehicle_blocked", "Agent got blocked"),
        Status.TIMED_OUT: ("route_timeout", "Route timeout."),
    }
    if record.status in ends:
        key, message = ends[record.status]
        messages[key].append(message)
    return Infractions(messages=messages, outside_m=outside_m, outside_share=share)


def penalty_2_0(infractions: Infractions) -> float:
    """Return the penalty of leaderboard 2.0: a product of factors."""
    factors = (factor ** infractions.count(key) for key, factor in _FACTORS_2_0.items())
    return math.prod(factors) * (1.0 - infractions.outside_share)


def penalty_2_1(infractions: Infractions) -> float:
    """Return the penalty of leaderboard 2.1: one by one plus a sum of coefficients."""
    total = sum(value * infractions.count(key) for key, value in _COEFFICIENTS_2_1.items())
    return (1.0 - infractions.outside_share) / (1.0 + total)


#: Penalty by scoring version. Emergency vehicles and scenario time-outs belong to scenarios, which
#: are not driven here. Minimum speed is not counted: the leaderboard compares with its own traffic.
SCORING: Mapping[str, Callable[[Infractions], float]] = MappingProxyType(
    {"2.0": penalty_2_0, "2.1": penalty_2_1}
)

DEFAULT_SCORING = "2.1"


def route_score(record: EpisodeRecord, route: Route) -> float:
    """Return the route completion in percent."""
    return 100.0 * route_completion(record.trajectory, route, record.status)


def driving_score(record: EpisodeRecord, route: Route, scoring: str) -> float:
    """Return the leaderboard's score of one drive, 0..100: route completion times penalty.

    Args:
        record: The drive.
        route: Its route.
        scoring: A key of `SCORING`.
    """
    return max(route_score(record, route) * SCORING[scoring](find_infractions(record, route)), 0.0)


def _outside_lanes(record: EpisodeRecord, route: Route) -> tuple[float, float]:
    trajectory = record.trajectory
    if len(trajectory) < 2:
        return 0.0, 0.0
    step_m = np.hypot(np.diff(trajectory.x_m), np.diff(trajectory.y_m))
    width_m = np.interp(trajectory.progress_m, route.s_m, route.lane_width_m)
    outside = np.abs(trajectory.cross_track_m) > width_m / 2.0 + ALLOWED_OUT_M
    outside |= trajectory.off_road.astype(bool)
    outside_m, total_m = float(np.sum(step_m[outside[1:]])), float(np.sum(step_m))
    return outside_m, outside_m / total_m if total_m > 0.0 else 0.0
