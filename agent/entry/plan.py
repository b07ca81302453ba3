"""A route from the few points that the leaderboard hands to an agent.

On the track SENSORS there is no map. The plan has a point at least every 200 m (Bench2Drive: every
50 m), where a lane change begins, and where a junction begins and ends. Between them the route is a
guess: a smooth curve. How far off it may be grows with the distance to the next point. The route
goes straight on behind the last point: an evaluator says where a drive ends, for short plans only
some decimetres before that point, and whoever stood before would stand for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.speed_profile import target_speed_mps
from bicameral.types import RoadOption, Route

#: Commands begin so far before a junction, as on the routes that the networks were trained on.
_COMMAND_DISTANCE_M: Final = 15.0
_POINT_SPACING_M: Final = 1.0
#: Nearer points are one: two legs of a plan begin and end in the same place.
_SAME_POINT_M: Final = 0.5
#: So far behind the last point: as far as the networks see.
_BEYOND_M: Final = 40.0
#: The guess may be off by so much per metre to the next point of the plan.
_GUESS_PER_M: Final = 0.15
_LANE_WIDTH_M: Final = 3.5
_IN_JUNCTION: Final = (RoadOption.LEFT, RoadOption.RIGHT, RoadOption.STRAIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRoute:
    """A route, and how well it is known.

    Attributes:
        route: N points, one about every metre.
        guess_m: (N,) float64, standard deviation of the guess, 0 where the plan has a point.
    """

    route: Route
    guess_m: NDArray[np.float64]


def route_from_plan(
    points_m: NDArray[np.float64], options: Sequence[int], speed_limit_mps: float
) -> PlannedRoute:
    """Return the route through the points of a plan.

    Args:
        points_m: (K, 2) float64, x and y.
        options: K numbers of CARLA's planner; each holds from its point on. Unknown ones count as
            `RoadOption.LANE_FOLLOW`.
        speed_limit_mps: Nowhere faster: the plan knows no limits.

    Raises:
        DataError: If the plan has fewer than two different points.
    """
    points_m, commands = _without_repeats(np.asarray(points_m, np.float64), options)
    if len(points_m) < 2:
        raise DataError(
            f"the global plan has {len(points_m)} different points, expected two or more; look at "
            "the <waypoints> of the route"
        )
    last_m = points_m[-1] - points_m[-2]
    beyond_m = points_m[-1] + _BEYOND_M * last_m / np.hypot(*last_m)
    points_m, commands = np.vstack([points_m, beyond_m]), [*commands, commands[-1]]
    chord_m = np.hypot(*np.diff(points_m, axis=0).T)
    knots_m = np.concatenate([[0.0], np.cumsum(chord_m)])
    dense_m = np.union1d(knots_m, np.arange(0.0, knots_m[-1], _POINT_SPACING_M / 4.0))
    line_m = _curve(points_m, _directions(points_m, commands), knots_m, dense_m)
    length_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line_m, axis=0).T))])
    s_m = np.linspace(0.0, length_m[-1], max(round(length_m[-1] / _POINT_SPACING_M), 2) + 1)
    xyz_m = np.zeros((len(s_m), 3))
    for axis in (0, 1):
        xyz_m[:, axis] = np.interp(s_m, length_m, line_m[:, axis])
    yaw_rad = np.unwrap(np.arctan2(*np.gradient(xyz_m[:, :2], s_m, axis=0).T[::-1]))
    limit_mps = np.full(len(s_m), speed_limit_mps)
    at_m = np.interp(knots_m, dense_m, length_m)
    command = _commands(s_m, at_m, commands)
    route = Route(
        name="plan",
        town="",
        kind="mixed",
        xyz_m=xyz_m,
        yaw_rad=yaw_rad,
        s_m=s_m,
        command=command,
        in_junction=np.isin(command, _IN_JUNCTION),
        lane_width_m=np.full(len(s_m), _LANE_WIDTH_M),
        speed_limit_mps=limit_mps,
        target_speed_mps=target_speed_mps(s_m, yaw_rad, limit_mps),
    )
    nearest_m = np.abs(s_m[:, None] - at_m[None, :-1]).min(axis=1)
    return PlannedRoute(route=route, guess_m=_GUESS_PER_M * nearest_m)


def _without_repeats(
    points_m: NDArray[np.float64], options: Sequence[int]
) -> tuple[NDArray[np.float64], list[RoadOption]]:
    """Leave out points that repeat the last one; the later option holds."""
    known = set(RoadOption)
    kept: list[NDArray[np.float64]] = []
    commands: list[RoadOption] = []
    for point, option in zip(points_m, options, strict=True):
        command = RoadOption(option) if option in known else RoadOption.LANE_FOLLOW
        if kept and np.hypot(*(point - kept[-1])) < _SAME_POINT_M:
            commands[-1] = command
            continue
        kept.append(point)
        commands.append(command)
    return np.array(kept).reshape(-1, 2), commands


def _directions(
    points_m: NDArray[np.float64], commands: Sequence[RoadOption]
) -> NDArray[np.float64]:
    """Return the heading (K, 2) at every point, as a unit vector.

    A road goes straight into a junction and out of it; elsewhere the shorter of both neighbours
    says more about the heading.
    """
    steps = np.diff(points_m, axis=0)
    lengths_m = np.hypot(*steps.T)
    chords = steps / lengths_m[:, None]
    turning = [command in _IN_JUNCTION for command in commands]
    found = [chords[0]]
    for i in range(1, len(chords)):
        before, after = lengths_m[i - 1], lengths_m[i]
        if turning[i - 1] != turning[i]:
            mean = chords[i] if turning[i - 1] else chords[i - 1]
        else:
            mean = (after * chords[i - 1] + before * chords[i]) / (before + after)
        size = np.hypot(*mean)
        found.append(mean / size if size > 1e-6 else chords[i])
    return np.array([*found, chords[-1]])


def _curve(
    points_m: NDArray[np.float64],
    directions: NDArray[np.float64],
    knots_m: NDArray[np.float64],
    at_m: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (M, 2) points of the cubic Hermite curve through the points in their directions.

    Where two directions are those of a circle's ends, the curve is that circle, nearly: its
    tangents are 1 / cos^2(angle / 4) times as long as the chord.
    """
    left = np.clip(np.searchsorted(knots_m, at_m, side="right") - 1, 0, len(knots_m) - 2)
    width_m = np.diff(knots_m)[left, None]
    t = (at_m - knots_m[left])[:, None] / width_m
    begin, end = points_m[left], points_m[left + 1]
    turn_rad = np.arccos(np.clip((directions[:-1] * directions[1:]).sum(axis=1), -1.0, 1.0))
    tangent_m = width_m / np.cos(turn_rad[left, None] / 4.0) ** 2
    return np.asarray(
        (1.0 + 2.0 * t) * (1.0 - t) ** 2 * begin
        + t * (1.0 - t) ** 2 * tangent_m * directions[left]
        + t**2 * (3.0 - 2.0 * t) * end
        - t**2 * (1.0 - t) * tangent_m * directions[left + 1],
        dtype=np.float64,
    )


def _commands(
    s_m: NDArray[np.float64], at_m: NDArray[np.float64], commands: Sequence[RoadOption]
) -> NDArray[np.int8]:
    """Spread the options over the route; those of junctions begin before the junction."""
    found = np.full(len(s_m), RoadOption.LANE_FOLLOW, dtype=np.int8)
    ends_m = [*at_m[1:], np.inf]
    for begin_m, end_m, command in zip(at_m, ends_m, commands, strict=True):
        found[(s_m >= begin_m) & (s_m < end_m)] = command
    for begin_m, end_m, command in zip(at_m, ends_m, commands, strict=True):
        window = (s_m >= begin_m - _COMMAND_DISTANCE_M) & (s_m < end_m)
        if command in _IN_JUNCTION:
            found[window & (found == RoadOption.LANE_FOLLOW)] = command
    return found
