"""How fast to drive among others, and why: the labels of any state of the vehicle.

The vehicle ahead is followed by the Intelligent Driver Model (Treiber, Hennecke and Helbing,
"Congested traffic states in empirical observations and microscopic simulations", 2000), solved for
the speed at which it would neither speed up nor brake. Lights, stop signs, walkers and vehicles to
yield to are vehicles that stand. Nothing here remembers anything: the same state always gets the
same label.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.progress import RouteGuide
from agent.way_ahead import (
    HALF_LENGTH_M,
    Encounter,
    WayAhead,
    forecast,
)
from bicameral.types import LightState, Pose, RoadUser, StopLine, Surroundings

#: The model's time headway, distance when standing, and the geometric mean of its acceleration and
#: comfortable deceleration.
_HEADWAY_S: Final = 1.3
_STANDING_M: Final = 2.5
_COMFORT_MPS2: Final = 2.0

#: The front stops this far before a stop line, where the areas of lights are.
_BEFORE_LINE_M: Final = 2.0
#: Nearer than this to a light's line a camera that looks down at the road has lost the light.
_LAST_SIGHT_M: Final = 6.0
_AT_LINE_M: Final = 0.2
#: A yellow light is passed by who would have to brake harder than this.
_YELLOW_MPS2: Final = 3.0
#: A light that is this far behind still tells who has to wait in the junction.
_LINE_BEHIND_M: Final = 25.0

#: To walkers, and to those who are yielded to, more room is left.
_WALKER_ROOM_M: Final = 3.0
_YIELD_ROOM_M: Final = 2.0
#: Who would be there this much earlier or later is no danger.
_MARGIN_S: Final = 0.8
#: Slower vehicles stand, and do not come out of anywhere.
_MOVING_MPS: Final = 0.5
_SAME_WAY_RAD: Final = math.radians(60.0)
_ONCOMING_RAD: Final = math.radians(120.0)
#: How far ahead in time a vehicle that changes lanes is believed to be going there.
_CUT_IN_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """Where to stop at the lines of a route.

    Attributes:
        stand_m: The front stands this far before the line of a light.
        forget_m: A front that is nearer than this to the line drives on, whatever the light shows.
        obeyed_m: Stop signs, by the arc length of their lines, at which the vehicle has stood.
    """

    stand_m: float = _BEFORE_LINE_M
    forget_m: float = 0.0
    obeyed_m: Collection[float] = ()


AT_THE_LINE: Final = StopRule()
#: Of an expert whose driving a network is to copy that sees by `AGENT_CAMERA`: at this distance the
#: heads on the mast and on the arm of a light are both in the picture. Nearer than `_LAST_SIGHT_M`
#: neither is, so a vehicle that came too close must not learn to stand there for ever.
WITHIN_SIGHT: Final = StopRule(stand_m=10.5, forget_m=_LAST_SIGHT_M)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficLabel:
    """What an expert makes of a state.

    Attributes:
        target_speed_mps: How fast it wants to drive; 0 is to stop or stand.
        allowed_speed_mps: How fast others and lights let it drive, None if nothing is in its way.
        cause: What decides: ``"free"``, ``"vehicle"``, ``"walker"``, ``"yield"``, ``"light"`` or
            ``"stop_sign"``.
        deceleration_mps2: What it takes to come down to the cause's speed in time; 0 if nothing.
        lead_distance_m: From the front bumper to the vehicle ahead, None if there is none.
        lead_speed_mps: Of that vehicle along the route, None likewise.
        light: What the next light on the route shows, None if there is none ahead.
        stop_line_m: From the front bumper to its stop line, None likewise.
    """

    target_speed_mps: float
    allowed_speed_mps: float | None
    cause: str
    deceleration_mps2: float
    lead_distance_m: float | None
    lead_speed_mps: float | None
    light: LightState | None
    stop_line_m: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Obstacle:
    """Something to stay behind: how far the front is from where it has to stand at the latest."""

    cause: str
    gap_m: float
    speed_mps: float


def following_speed(gap_m: float, lead_mps: float) -> float:
    """Return the Intelligent Driver Model's speed for a gap, its free speed left aside.

    Args:
        gap_m: To where one would stand behind a standing leader.
        lead_mps: Speed of the leader.

    Returns:
        The v at which gap = v T + v (v - lead) / (2 sqrt(a b)); 0 if there is no gap.
    """
    if gap_m <= 0.0:
        return 0.0
    half = _HEADWAY_S - lead_mps / (2.0 * _COMFORT_MPS2)
    return max(0.0, _COMFORT_MPS2 * (math.sqrt(half * half + 2.0 * gap_m / _COMFORT_MPS2) - half))


def standing_gap(speed_mps: float) -> float:
    """Return the gap to something that stands at which `following_speed` is this, in metres."""
    return speed_mps * _HEADWAY_S + speed_mps**2 / (2.0 * _COMFORT_MPS2)


def needed_deceleration(closing_mps: float, gap_m: float) -> float:
    """Return how hard to brake, m/s^2, to lose a closing speed within a gap."""
    return max(0.0, closing_mps) ** 2 / (2.0 * max(gap_m, 0.5))


def label_state(
    guide: RouteGuide,
    pose: Pose,
    speed_mps: float,
    surroundings: Surroundings,
    rule: StopRule = AT_THE_LINE,
) -> TrafficLabel:
    """Say how fast to drive in a state.

    Args:
        guide: Already updated to this pose.
        pose: Of the vehicle.
        speed_mps: Its forward speed.
        surroundings: Who else is there, and what the lights show.
        rule: Where to stop at lines.
    """
    way = WayAhead(guide, speed_mps)
    held = _is_held_back(way, surroundings.stop_lines)
    seen = (
        _obstacle_of(way, pose, other, cross_traffic_waits=held)
        for other in surroundings.others
        if not way.is_out_of_reach(other)
    )
    obstacles = [obstacle for obstacle in seen if obstacle is not None]
    vehicles = [obstacle for obstacle in obstacles if obstacle.cause == "vehicle"]
    lead = min(vehicles, key=lambda obstacle: obstacle.gap_m, default=None)
    obstacles += _stops(way, surroundings.stop_lines, rule, speed_mps)
    target_mps, cause, allowed_mps = guide.target_speed_ahead(speed_mps), "free", math.inf
    for obstacle in obstacles:
        behind_mps = following_speed(obstacle.gap_m, obstacle.speed_mps)
        allowed_mps = min(allowed_mps, behind_mps)
        if behind_mps < target_mps:
            target_mps, cause = behind_mps, obstacle.cause
    needed = (
        needed_deceleration(speed_mps - obstacle.speed_mps, obstacle.gap_m)
        for obstacle in obstacles
    )
    light = _next_light(way, surroundings.stop_lines)
    return TrafficLabel(
        target_speed_mps=target_mps,
        allowed_speed_mps=None if math.isinf(allowed_mps) else allowed_mps,
        cause=cause,
        deceleration_mps2=max(needed, default=0.0),
        lead_distance_m=None if lead is None else lead.gap_m + _STANDING_M,
        lead_speed_mps=None if lead is None else lead.speed_mps,
        light=None if light is None else light.light,
        stop_line_m=None if light is None else light.s_m - way.front_m,
    )


def _next_light(way: WayAhead, lines: Iterable[StopLine]) -> StopLine | None:
    ahead = (line for line in lines if line.light is not None and line.s_m > way.front_m)
    return next(ahead, None)


def _is_held_back(way: WayAhead, lines: Iterable[StopLine]) -> bool:
    """Return whether a light lets this vehicle go and therefore stops those who cross."""
    near = [
        line
        for line in lines
        if line.light is not None and line.s_m - way.front_m > -_LINE_BEHIND_M
    ]
    if not near:
        return False
    behind = near[0].s_m <= way.front_m
    return behind or near[0].light in (LightState.GREEN, LightState.YELLOW)


def _stops(
    way: WayAhead, lines: Iterable[StopLine], rule: StopRule, speed_mps: float
) -> Iterator[_Obstacle]:
    for line in lines:
        ahead_m = line.s_m - way.front_m
        if ahead_m <= 0.0 or ahead_m - _BEFORE_LINE_M > way.length_m:
            continue
        if line.light is None:
            if line.s_m not in rule.obeyed_m:
                gap_m = ahead_m - _BEFORE_LINE_M + _AT_LINE_M
                yield _Obstacle(cause="stop_sign", gap_m=gap_m, speed_mps=0.0)
        elif ahead_m > rule.forget_m and (
            line.light is LightState.RED
            or (
                line.light is LightState.YELLOW
                and speed_mps**2 < 2.0 * _YELLOW_MPS2 * max(ahead_m, 0.1)
            )
        ):
            gap_m = ahead_m - rule.stand_m + _AT_LINE_M
            yield _Obstacle(cause="light", gap_m=gap_m, speed_mps=0.0)


def _obstacle_of(
    way: WayAhead, pose: Pose, other: RoadUser, *, cross_traffic_waits: bool
) -> _Obstacle | None:
    """Say where to stay behind another, or that there is no need to."""
    kind = "walker" if other.walker else "vehicle"
    first_m = way.first_covered_m(other)
    if first_m is not None:
        room_m = _WALKER_ROOM_M if other.walker else _STANDING_M
        along_mps = max(0.0, way.along_mps(other, first_m))
        gap_m = first_m - way.front_m - room_m
        return _Obstacle(cause=kind, gap_m=gap_m, speed_mps=0.0 if other.walker else along_mps)
    if other.walker:
        return _yield_to(way, way.encounters(forecast(other), other), "walker", _WALKER_ROOM_M)
    if math.hypot(*other.velocity_mps) < _MOVING_MPS:
        return None
    turned_rad = way.heading_difference_rad(other)
    if turned_rad < _SAME_WAY_RAD:
        return _cut_in(way, pose, other)
    if cross_traffic_waits and not other.in_junction and turned_rad < _ONCOMING_RAD:
        return None
    met = [one for one in way.encounters(forecast(other), other) if way.in_junction(one.first_m)]
    return _yield_to(way, met, "yield", _YIELD_ROOM_M)


def _cut_in(way: WayAhead, pose: Pose, other: RoadUser) -> _Obstacle | None:
    """Follow a vehicle beside the way that is coming onto it, ahead of the front."""
    ahead_m = math.cos(pose.yaw_rad) * (other.pose.x_m - pose.x_m) + math.sin(pose.yaw_rad) * (
        other.pose.y_m - pose.y_m
    )
    if ahead_m < HALF_LENGTH_M:
        return None
    for met in way.encounters(forecast(other), other):
        if 0.0 < met.time_s <= _CUT_IN_S:
            along_mps = max(0.0, way.along_mps(other, met.first_m))
            here_m = met.first_m - along_mps * met.time_s
            gap_m = here_m - way.front_m - _STANDING_M
            return _Obstacle(cause="vehicle", gap_m=gap_m, speed_mps=along_mps)
    return None


def _yield_to(way: WayAhead, met: list[Encounter], cause: str, room_m: float) -> _Obstacle | None:
    """Stop before the place where both would be at the same time, if one still can."""
    if not any(way.is_there(one, _MARGIN_S) for one in met):
        return None
    gap_m = min(one.first_m for one in met) - way.front_m - room_m
    if gap_m + room_m < way.shortest_stop_m:
        return None
    return _Obstacle(cause=cause, gap_m=gap_m, speed_mps=0.0)
