"""The routes of one episode, each with what chance decides about driving it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import carla
import numpy as np

from bicameral.errors import RouteError
from bicameral.simulation import TICK_S
from bicameral.types import Pose, Route
from sim.collection.plan import CollectionPlan, Disturbances, EpisodePlan, PedalBursts
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes

_LOG = logging.getLogger(__name__)

#: Even an undisturbed route begins a little beside the lane centre, metres and radians.
_USUAL_OFFSET = (0.1, 0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One route of an episode.

    Attributes:
        route: With its speed profile scaled for this drive.
        start: Where the vehicle is put, beside the first point of the route or in another lane.
        start_speed_mps: How fast it moves then.
        lane_off_m: How far right of the route's lane that lane lies in whose middle the drive
            begins; 0 for the route's own.
        disturbed: Whether bursts of wrong steering come on the way.
        seed: Of the bursts and of the agents.
    """

    route: Route
    start: Pose
    start_speed_mps: float
    lane_off_m: float
    disturbed: bool
    seed: int


def draw_legs(
    planner: RoutePlanner, plan: CollectionPlan, episode: EpisodePlan, rng: np.random.Generator
) -> list[Leg]:
    """Draw the routes of an episode and how each is driven.

    Raises:
        RouteError: If the town holds no route of any of the plan's kinds.
    """
    mix, legs = plan.routes, []
    for number in range(mix.per_episode):
        seed = int(rng.integers(2**31))
        first = episode.index * mix.per_episode + number
        kinds = [mix.kinds[(first + turn) % len(mix.kinds)] for turn in range(len(mix.kinds))]
        route = _sample_route(planner, plan, kinds, seed)
        lanes_m = _neighbouring_lanes_m(planner, route)
        legs.append(_draw_leg(route, lanes_m, plan.disturbances, rng))
    return legs


def bursts(disturbances: Disturbances, seed: int) -> Iterator[float]:
    """Yield the steering offset of one tick after the other, 0 between two bursts.

    A burst holds one offset for its whole length, as a gust or a ruined prediction would; the
    offsets are those at walking pace.
    """
    rng = np.random.default_rng(seed)
    while True:
        pause_s = rng.exponential(1.0 / disturbances.burst_rate_hz)
        yield from [0.0] * round(pause_s / TICK_S)
        length_s = rng.uniform(disturbances.burst_min_s, disturbances.burst_max_s)
        size = rng.uniform(0.2, 1.0) * disturbances.burst_steer * rng.choice([-1.0, 1.0])
        yield from [float(size)] * round(length_s / TICK_S)


def pedal_bursts(pedals: PedalBursts, seed: int) -> Iterator[float]:
    """Yield what one tick after the other does to the pedals, as `bursts` does to the steering.

    Above 0 is a throttle, below 0 a brake, and 0 is the expert's own choice.
    """
    rng = np.random.default_rng((seed, 1))
    while True:
        yield from [0.0] * round(rng.exponential(1.0 / pedals.rate_hz) / TICK_S)
        most = pedals.throttle if rng.uniform() < 0.5 else -pedals.brake
        length_s = rng.uniform(pedals.min_s, pedals.max_s)
        yield from [float(rng.uniform(0.3, 1.0) * most)] * round(length_s / TICK_S)


def _sample_route(
    planner: RoutePlanner, plan: CollectionPlan, kinds: list[str], seed: int
) -> Route:
    """Sample a route of the first kind that the town holds."""
    for kind in dict.fromkeys(kinds):
        request = RouteRequest(
            kind=kind,
            count=1,
            seed=seed,
            min_length_m=plan.routes.min_length_m,
            max_length_m=plan.routes.max_length_m,
        )
        try:
            return sample_routes(planner, request)[0]
        except RouteError as error:
            _LOG.debug("%s", error)
    raise RouteError(
        f"{planner.town} holds no route of {plan.routes.min_length_m:.0f} to "
        f"{plan.routes.max_length_m:.0f} m of the kinds {', '.join(kinds)}; ask for other lengths"
    )


def _neighbouring_lanes_m(planner: RoutePlanner, route: Route) -> list[float]:
    """Return how far right of the route's first point the other lanes of its direction lie."""
    x_m, y_m, z_m = (float(value) for value in route.xyz_m[0])
    own, _ = planner.network.locate(carla.Location(x_m, y_m, z_m))
    right = np.array([-math.sin(route.yaw_rad[0]), math.cos(route.yaw_rad[0])])
    lateral_m = []
    for key in planner.network.siblings(own):
        offset_m = planner.network.lanes[key].xyz_m[:, :2] - (x_m, y_m)
        nearest = offset_m[np.hypot(offset_m[:, 0], offset_m[:, 1]).argmin()]
        if key != own:
            lateral_m.append(float(nearest @ right))
    return lateral_m


def _draw_leg(
    route: Route, lanes_m: list[float], disturbances: Disturbances, rng: np.random.Generator
) -> Leg:
    factor = rng.uniform(disturbances.speed_factor_min, disturbances.speed_factor_max)
    disturbed = bool(rng.uniform() < disturbances.share)
    most = (disturbances.lateral_m, disturbances.heading_rad) if disturbed else _USUAL_OFFSET
    lateral_m, turn_rad = (float(value) for value in rng.uniform(-1.0, 1.0, size=2) * most)
    lane_off_m = 0.0
    if rng.uniform() < disturbances.lane_share and lanes_m:
        lane_off_m = lanes_m[int(rng.integers(len(lanes_m)))]
        lateral_m += lane_off_m
    route = replace(route, target_speed_mps=route.target_speed_mps * factor)
    x_m, y_m, z_m = (float(value) for value in route.xyz_m[0])
    yaw_rad = float(route.yaw_rad[0])
    return Leg(
        route=route,
        start=Pose(
            x_m=x_m - math.sin(yaw_rad) * lateral_m,
            y_m=y_m + math.cos(yaw_rad) * lateral_m,
            z_m=z_m,
            pitch_rad=math.atan2(float(route.xyz_m[3, 2]) - z_m, float(route.s_m[3])),
            yaw_rad=yaw_rad + turn_rad,
        ),
        lane_off_m=lane_off_m,
        start_speed_mps=float(rng.uniform(0.0, route.target_speed_mps[0])),
        disturbed=disturbed,
        seed=int(rng.integers(2**31)),
    )
