"""When a drive is over, and in the leaderboard's words why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bicameral.progress import RoutePosition
from bicameral.types import Route


class Status(StrEnum):
    """How an episode ended, in the wording of leaderboard 2.x (leaderboard_evaluator.py)."""

    COMPLETED = "Completed"
    DEVIATED = "Failed - Agent deviated from the route"
    BLOCKED = "Failed - Agent got blocked"
    TIMED_OUT = "Failed - Agent timed out"
    AGENT_CRASHED = "Failed - Agent crashed"
    SIMULATION_CRASHED = "Failed - Simulation crashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Rules that end an episode; all times are simulated.

    They are stricter than the leaderboard's (30 m off the route, 180 s without motion, about ten
    times the nominal time): a drive that has failed is to end soon.

    Attributes:
        goal_m: The route counts as completed this far before its end.
        cross_track_m: Farther from the route than this is off it.
        heading_rad: Pointing farther away from the route than this is off it.
        off_route_s: Being off the route for longer ends the episode as deviated.
        blocked_mps: Slower than this is standing.
        blocked_s: Standing for longer ends the episode as blocked.
        grace_s: Time limit of a route of no length.
        time_factor: The time limit grows by this multiple of the time that the route takes at its
            target speeds.
    """

    goal_m: float = 5.0
    cross_track_m: float = 5.0
    heading_rad: float = math.pi / 2.0
    off_route_s: float = 1.0
    blocked_mps: float = 0.1
    blocked_s: float = 30.0
    grace_s: float = 30.0
    time_factor: float = 4.0

    def time_limit_s(self, route: Route) -> float:
        """Return the longest time that driving this route may take."""
        step_m = np.diff(route.s_m)
        speed_mps = np.maximum((route.target_speed_mps[1:] + route.target_speed_mps[:-1]) / 2, 1.0)
        return self.grace_s + self.time_factor * float(np.sum(step_m / speed_mps))


#: The rules of an evaluation in an empty town.
STANDARD_LIMITS = Limits()

#: Among others: time to wait at red lights, which last up to 50 s, and behind others who wait.
TRAFFIC_LIMITS = Limits(blocked_s=90.0, grace_s=180.0, time_factor=5.0)


class Referee:
    """Watches one episode tick by tick and says when it is over."""

    def __init__(self, route: Route, limits: Limits) -> None:
        """Begin a new episode."""
        self._limits = limits
        self._goal_s_m = route.length_m - limits.goal_m
        self._time_limit_s = limits.time_limit_s(route)
        self._off_route_since_s: float | None = None
        self._standing_since_s: float | None = None

    def judge(self, time_s: float, position: RoutePosition, speed_mps: float) -> Status | None:
        """Return the status that ends the episode at this tick, or None to go on."""
        limits = self._limits
        off_route = (
            abs(position.cross_track_m) > limits.cross_track_m
            or abs(position.heading_error_rad) > limits.heading_rad
        )
        self._off_route_since_s = _since(self._off_route_since_s, off_route, time_s)
        self._standing_since_s = _since(
            self._standing_since_s, abs(speed_mps) < limits.blocked_mps, time_s
        )
        if position.s_m >= self._goal_s_m and not off_route:
            return Status.COMPLETED
        if _longer(self._off_route_since_s, time_s, limits.off_route_s):
            return Status.DEVIATED
        if _longer(self._standing_since_s, time_s, limits.blocked_s):
            return Status.BLOCKED
        if time_s > self._time_limit_s:
            return Status.TIMED_OUT
        return None


def _since(since_s: float | None, happening: bool, now_s: float) -> float | None:
    if not happening:
        return None
    return now_s if since_s is None else since_s


def _longer(since_s: float | None, now_s: float, limit_s: float) -> bool:
    return since_s is not None and now_s - since_s > limit_s
