"""Random routes of a wanted kind, the same ones for the same seed.

Kinds:
    curves: no junction offers a choice, and the road turns by at least 60 degrees in all.
    highway: at least 70 km/h are allowed on most of the way, and no turn is taken.
    left, right, straight: one such movement through a junction, with at least 40 m of run-up and
        30 m behind it; further junctions may follow.
    mixed: at least two junctions with a choice.

No route changes lanes, drives a road twice, or begins or ends where a junction's command applies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bicameral.errors import RouteError, unknown_name
from bicameral.types import RoadOption, Route
from bicameral.units import mps_from_kmh
from sim.routes.network import LaneKey
from sim.routes.planner import COMMAND_DISTANCE_M, RoutePlanner, Step

RUN_UP_M = 40.0
RUN_OUT_M = 30.0
HIGHWAY_LIMIT_MPS = mps_from_kmh(70.0)
HIGHWAY_SHARE = 0.6
CURVES_TURNING_RAD = np.radians(60.0)

#: Bounds on the geometry that a car can be asked to follow: lanes that taper away are narrower,
#: and maps that do not fit together at a joint bend more sharply.
MIN_LANE_WIDTH_M = 2.5
MAX_CURVATURE_PER_M = 0.4

_TURNS = {"left": RoadOption.LEFT, "right": RoadOption.RIGHT, "straight": RoadOption.STRAIGHT}
ROUTE_KINDS = ("curves", "highway", "left", "right", "straight", "mixed")
_ATTEMPTS_PER_ROUTE = 600
_MARGIN_M = COMMAND_DISTANCE_M + 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRequest:
    """What to sample.

    Attributes:
        kind: One of `ROUTE_KINDS`.
        count: Number of routes.
        seed: The same seed gives the same routes on the same map.
        min_length_m: Shortest acceptable route.
        max_length_m: Longest route.
    """

    kind: str
    count: int
    seed: int
    min_length_m: float = 200.0
    max_length_m: float = 400.0


def sample_routes(planner: RoutePlanner, request: RouteRequest) -> list[Route]:
    """Draw routes at random.

    Args:
        planner: Knows the map.
        request: Kind, number, lengths and seed.

    Returns:
        `request.count` routes, named `<town>_<kind>_s<seed>_<number>`.

    Raises:
        UserError: If the kind is unknown.
        RouteError: If the map does not hold enough such routes.
    """
    if request.kind not in ROUTE_KINDS:
        raise unknown_name("kind of route", request.kind, ROUTE_KINDS)
    rng = np.random.default_rng([request.seed, ROUTE_KINDS.index(request.kind)])
    walker = _Walker(planner, request, rng)
    routes: list[Route] = []
    for steps in walker.walks():
        if len(routes) == request.count:
            return routes
        name = f"{planner.town}_{request.kind}_s{request.seed}_{len(routes)}"
        if _fits(planner, steps, request.kind):
            route = planner.route_along(steps, name=name, kind=request.kind)
            if _is_drivable(route) and _has_character(route):
                routes.append(route)
    if len(routes) == request.count:
        return routes
    raise RouteError(
        f"found {len(routes)} of {request.count} routes of kind {request.kind!r} with "
        f"{request.min_length_m:.0f} to {request.max_length_m:.0f} m on {planner.town}; "
        "ask for fewer or shorter routes, or for another kind"
    )


class _Walker:
    """Random walks over the lanes, each as the steps of a candidate route."""

    def __init__(
        self, planner: RoutePlanner, request: RouteRequest, rng: np.random.Generator
    ) -> None:
        self._network = planner.network
        self._junctions = planner.junctions
        self._request = request
        self._rng = rng

    def walks(self) -> Iterator[list[Step]]:
        """Yield candidates; there are finitely many, so that an impossible request ends."""
        command = _TURNS.get(self._request.kind)
        attempts = _ATTEMPTS_PER_ROUTE * self._request.count
        if command is None:
            keys = [key for key, lane in self._network.lanes.items() if lane.junction < 0]
            lengths_m = np.array([self._network.lanes[key].length_m for key in keys])
            for index in self._rng.choice(len(keys), attempts, p=lengths_m / lengths_m.sum()):
                yield from self._walk_from([keys[index]], run_up_m=0.0)
            return
        movements = [m for m in self._junctions.all_movements() if m.command == command]
        for turn in range(attempts if movements else 0):
            if turn % len(movements) == 0:
                order = self._rng.permutation(len(movements))
            movement = movements[order[turn % len(movements)]]
            most_m = max(RUN_UP_M, self._request.max_length_m / 2.0)
            run_up_m = float(self._rng.uniform(RUN_UP_M, most_m))
            yield from self._walk_from([movement.entry, *movement.way.lanes], run_up_m)

    def _walk_from(self, lanes: list[LaneKey], run_up_m: float) -> Iterator[list[Step]]:
        """Extend a chain of lanes to both sides and cut it to a random length."""
        network = self._network
        first_m = network.lanes[lanes[0]].length_m
        while lanes and first_m < run_up_m:
            before = network.predecessors[lanes[0]]
            if not before:
                return
            lanes = [before[int(self._rng.integers(len(before)))], *lanes]
            first_m += network.lanes[lanes[0]].length_m
        begin_m = first_m - run_up_m if run_up_m > 0.0 else float(self._rng.uniform(0.0, first_m))
        lowest_m, highest_m = self._request.min_length_m, self._request.max_length_m
        wanted_m = float(self._rng.uniform(lowest_m, highest_m))
        total_m = sum(network.lanes[key].length_m for key in lanes)
        while total_m < begin_m + wanted_m + _MARGIN_M:
            following = self._next_lanes(lanes[-1])
            if not following:
                break
            lanes = [*lanes, *following]
            total_m += sum(network.lanes[key].length_m for key in following)
        end_m = min(begin_m + wanted_m, total_m - _MARGIN_M)
        if end_m - begin_m >= lowest_m:
            yield self._cut(lanes, begin_m, end_m)

    def _next_lanes(self, lane: LaneKey) -> list[LaneKey]:
        """Choose how to go on: the next lane, or all lanes through a junction."""
        movements = self._junctions.movements(lane)
        if movements:
            movement = movements[int(self._rng.integers(len(movements)))]
            if self._request.kind == "curves" and movement.command != RoadOption.LANE_FOLLOW:
                return []
            return [*movement.way.lanes]
        successors = self._network.lanes[lane].successors
        return [successors[int(self._rng.integers(len(successors)))]] if successors else []

    def _cut(self, lanes: list[LaneKey], begin_m: float, end_m: float) -> list[Step]:
        steps = []
        at_m = 0.0
        for key in lanes:
            length_m = self._network.lanes[key].length_m
            low_m, high_m = max(begin_m - at_m, 0.0), min(end_m - at_m, length_m)
            if high_m > low_m:
                steps.append(Step(lane=key, from_m=low_m, to_m=high_m))
            at_m += length_m
        return steps


def _fits(planner: RoutePlanner, steps: list[Step], kind: str) -> bool:
    """Judge a candidate by its lanes alone, before anything is sampled."""
    network = planner.network
    roads = [(step.lane.road, step.lane.section, step.lane.lane < 0) for step in steps]
    if len(set(roads)) < len(roads):
        return False
    if network.lanes[steps[0].lane].junction >= 0 or network.lanes[steps[-1].lane].junction >= 0:
        return False
    passages = planner.passages(steps)
    if len({passage.junction for passage in passages}) < len(passages):
        return False
    length_m = sum(step.to_m - step.from_m for step in steps)
    choices = [p for p in passages if p.command != RoadOption.LANE_FOLLOW]
    if choices and choices[0].begin_m < RUN_UP_M - 0.5:
        return False
    last = network.lanes[steps[-1].lane]
    leads_to_junction = bool(planner.junctions.movements(last.key))
    if leads_to_junction and last.length_m - steps[-1].to_m < COMMAND_DISTANCE_M:
        return False
    if kind in _TURNS:
        return any(p.command == _TURNS[kind] and length_m - p.end_m >= RUN_OUT_M for p in choices)
    if kind == "mixed":
        return len(choices) >= 2
    if kind == "curves":
        return not choices
    return all(p.command == RoadOption.STRAIGHT for p in choices)


def _is_drivable(route: Route) -> bool:
    curvature = np.abs(np.diff(route.yaw_rad)) / np.diff(route.s_m)
    return bool(
        route.lane_width_m.min() >= MIN_LANE_WIDTH_M and curvature.max() <= MAX_CURVATURE_PER_M
    )


def _has_character(route: Route) -> bool:
    """Check what the sampled points tell: turning of `curves`, allowed speed of `highway`."""
    if route.kind == "curves":
        return bool(np.abs(np.diff(route.yaw_rad)).sum() >= CURVES_TURNING_RAD)
    if route.kind == "highway":
        return bool(np.mean(route.speed_limit_mps >= HIGHWAY_LIMIT_MPS - 0.1) >= HIGHWAY_SHARE)
    return True
