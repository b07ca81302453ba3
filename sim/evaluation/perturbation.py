"""Small seeded disturbances, so that several drives of one route are several drives.

Everything drawn depends on the seed alone, never on the agent, so that the same episode of two
correction modes begins at the same place, under the same sky, with the same steering noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bicameral.simulation import TICK_S
from bicameral.types import Pose, Route
from sim.client.weather import Weather, perturb_weather


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """How large the disturbances are.

    Attributes:
        lateral_m: The start is moved sideways by up to this much, uniformly.
        heading_deg: The start is turned by up to this much, uniformly.
        weather: Scale of `sim.client.weather.perturb_weather`.
        steer: Standard deviation of the noise added to the steering, -1..1 units.
        steer_correlation_s: Time over which the steering noise keeps its sign, roughly.
    """

    lateral_m: float = 0.25
    heading_deg: float = 2.0
    weather: float = 1.0
    steer: float = 0.005
    steer_correlation_s: float = 0.5


#: The disturbances of every ordinary evaluation.
PERTURBED = Perturbation()

#: Nothing is disturbed: the reference drives.
UNPERTURBED = Perturbation(lateral_m=0.0, heading_deg=0.0, weather=0.0, steer=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """What was drawn for one episode.

    Attributes:
        start: Where the vehicle begins.
        weather: The sky.
        noise_seed: Seed of `steering_noise`.
    """

    start: Pose
    weather: Weather
    noise_seed: int


def draw_disturbance(
    route: Route, weather: Weather, perturbation: Perturbation, seed: int
) -> Disturbance:
    """Draw everything about an episode that is left to chance."""
    rng = np.random.default_rng(seed)
    lateral, turn = rng.uniform(-1.0, 1.0, size=2)
    lateral_m = perturbation.lateral_m * float(lateral)
    start = start_pose(route)
    return Disturbance(
        start=replace(
            start,
            x_m=start.x_m - math.sin(start.yaw_rad) * lateral_m,
            y_m=start.y_m + math.cos(start.yaw_rad) * lateral_m,
            yaw_rad=start.yaw_rad + math.radians(perturbation.heading_deg * float(turn)),
        ),
        weather=perturb_weather(weather, rng, perturbation.weather),
        noise_seed=int(rng.integers(2**32)),
    )


def start_pose(route: Route) -> Pose:
    """Return the first point of the route, on the slope of the road there."""
    x_m, y_m, z_m = (float(value) for value in route.xyz_m[0])
    rise_m = float(route.xyz_m[1, 2] - route.xyz_m[0, 2])
    run_m = float(np.hypot(*(route.xyz_m[1, :2] - route.xyz_m[0, :2])))
    return Pose(
        x_m=x_m,
        y_m=y_m,
        z_m=z_m,
        pitch_rad=math.atan2(rise_m, run_m),
        yaw_rad=float(route.yaw_rad[0]),
    )


def steering_noise(perturbation: Perturbation, seed: int) -> Iterator[float]:
    """Yield the noise of one tick after the other: a first-order autoregressive process.

    Its standard deviation is `Perturbation.steer` at every tick, including the first.
    """
    rng = np.random.default_rng(seed)
    keep = math.exp(-TICK_S / perturbation.steer_correlation_s)
    fresh = math.sqrt(1.0 - keep * keep)
    value = float(rng.standard_normal())
    while True:
        yield perturbation.steer * value
        value = keep * value + fresh * float(rng.standard_normal())
