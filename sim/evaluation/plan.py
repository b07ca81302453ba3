"""What an evaluation drives: every episode is named before the first one starts."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

import bicameral
from bicameral.errors import ConfigError
from bicameral.simulation import CARLA_VERSION
from bicameral.types import Route
from sim.client.traffic import TrafficDensity
from sim.evaluation.agents import AgentSpec
from sim.evaluation.conditions import ROUTE_WEATHER, Condition, condition_by_name
from sim.evaluation.limits import STANDARD_LIMITS, Limits
from sim.evaluation.perturbation import PERTURBED, UNPERTURBED, Perturbation
from sim.routes.weathers import RouteWeather

#: Version of the layout of plan.json, episode.json and trajectory.npz.
SCHEMA = 1

#: An empty town.
NO_TRAFFIC = TrafficDensity()


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSpec:
    """One drive: one agent, one route, one condition, one repetition.

    Attributes:
        episode_id: Unique within the evaluation and a valid folder name.
        role: ``"evaluation"``, or ``"reference"`` for the drive that curves are compared with.
        agent: Who drives.
        route: What it drives.
        weather: Name of the condition, see `sim.evaluation.conditions`.
        sky: The weathers along the route if the condition is `ROUTE_WEATHER`, else empty.
        repetition: 0, 1, ...
        seed: Seed of the episode; depends on the plan's seed, the route and the repetition only.
        perturbation: How much is disturbed.
        traffic: Who else is on the road.
    """

    episode_id: str
    role: str
    agent: AgentSpec
    route: Route
    weather: str
    repetition: int
    seed: int
    perturbation: Perturbation
    traffic: TrafficDensity = NO_TRAFFIC
    sky: tuple[RouteWeather, ...] = ()

    @property
    def condition(self) -> Condition:
        """What the drive has to cope with at its beginning."""
        if self.sky:
            return Condition(weather=self.sky[0].weather)
        return condition_by_name(self.weather)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """Everything that decides the outcome of an evaluation.

    Attributes:
        routes: Routes in driving order, with unique names; they may lie in several towns.
        agents: Who drives; unique labels.
        weathers: Names of conditions: weathers, what is wrong with the camera, or
            `sim.evaluation.conditions.ROUTE_WEATHER`.
        repetitions: How often each combination is driven, each time with another seed.
        seed: Base seed.
        perturbation: Size of the seeded disturbances.
        limits: Rules that end an episode.
        reference: Agent whose undisturbed drive of each route, in the first weather, the
            trajectory metrics compare with; None leaves those metrics without a value.
        skies: Weathers along a route by the route's name, where a routes file gives them.
        dropped_scenarios: Types of the scenarios that a routes file puts on a route, by the route's
            name; they are not driven.
        skipped_towns: Routes of the file that are left out, by the town that is not here.
        traffic: Who else is on the road; the reference drives alone.
    """

    routes: tuple[Route, ...]
    agents: tuple[AgentSpec, ...]
    weathers: tuple[str, ...] = ("clear",)
    repetitions: int = 1
    seed: int = 0
    perturbation: Perturbation = PERTURBED
    limits: Limits = STANDARD_LIMITS
    reference: AgentSpec | None = None
    skies: Mapping[str, tuple[RouteWeather, ...]] = field(default_factory=dict)
    dropped_scenarios: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped_towns: Mapping[str, int] = field(default_factory=dict)
    traffic: TrafficDensity = NO_TRAFFIC

    def __post_init__(self) -> None:
        for what, names in (
            ("routes", [file_name(route.name) for route in self.routes]),
            ("agents", [file_name(agent.label) for agent in self.agents]),
            ("weathers", list(self.weathers)),
        ):
            if not names or len(set(names)) != len(names):
                raise ConfigError(
                    f"an evaluation needs one or more {what} with unique names, got {names}; "
                    "leave out the repeated ones"
                )
        if self.repetitions < 1:
            raise ConfigError(f"repetitions must be 1 or more, got {self.repetitions}")
        for weather in self.weathers:
            if weather != ROUTE_WEATHER:
                condition_by_name(weather)
            elif not all(route.name in self.skies for route in self.routes):
                raise ConfigError(
                    f"the weather {ROUTE_WEATHER!r} is that of a leaderboard's file; name one "
                    "with --routes, or another weather"
                )

    def episodes(self) -> list[EpisodeSpec]:
        """Return every episode in driving order: town by town, the reference first."""
        towns = list(dict.fromkeys(route.town for route in self.routes))
        ordered = sorted(self.routes, key=lambda route: towns.index(route.town))
        specs: list[EpisodeSpec] = []
        for route in ordered:
            if self.reference is not None:
                specs.append(self._episode(self.reference, route, self.weathers[0], 0, True))
            specs += [
                self._episode(agent, route, weather, repetition, False)
                for repetition in range(self.repetitions)
                for weather in self.weathers
                for agent in self.agents
            ]
        return specs

    def describe(self) -> dict[str, Any]:
        """Return the content of plan.json: what must be equal for a run to be resumed."""
        return {
            "schema": SCHEMA,
            "bicameral": bicameral.__version__,
            "carla": CARLA_VERSION,
            "routes": [
                {
                    "name": r.name,
                    "town": r.town,
                    "kind": r.kind,
                    "sha256": digest_route(r),
                    **self._from_file(r.name),
                }
                for r in self.routes
            ],
            "agents": [asdict(agent) for agent in self.agents],
            "reference": None if self.reference is None else asdict(self.reference),
            "weathers": list(self.weathers),
            "repetitions": self.repetitions,
            "seed": self.seed,
            "perturbation": asdict(self.perturbation),
            "limits": asdict(self.limits),
            **({"skipped_towns": dict(self.skipped_towns)} if self.skipped_towns else {}),
            # Left out where there is none, as in plans of before.
            **({"traffic": asdict(self.traffic)} if self.traffic else {}),
        }

    def _from_file(self, route: str) -> dict[str, Any]:
        """Return what a routes file says of a route beyond its way; only what there is."""
        sky, dropped = self.skies.get(route, ()), self.dropped_scenarios.get(route, ())
        weathers = {"weathers": [asdict(one) for one in sky]} if sky else {}
        return weathers | ({"dropped_scenarios": list(dropped)} if dropped else {})

    def _episode(
        self, agent: AgentSpec, route: Route, weather: str, repetition: int, reference: bool
    ) -> EpisodeSpec:
        label = "reference" if reference else agent.label
        return EpisodeSpec(
            episode_id=f"{file_name(route.name)}_{file_name(label)}_{weather}_rep{repetition}",
            role="reference" if reference else "evaluation",
            agent=agent,
            route=route,
            weather=weather,
            repetition=repetition,
            seed=episode_seed(self.seed, route.name, repetition),
            perturbation=UNPERTURBED if reference else self.perturbation,
            sky=self.skies[route.name] if weather == ROUTE_WEATHER else (),
            traffic=NO_TRAFFIC if reference else self.traffic,
        )


def episode_seed(base_seed: int, route_name: str, repetition: int) -> int:
    """Return the 32-bit seed that all agents and weathers of a route's repetition share."""
    entropy = [base_seed, zlib.crc32(route_name.encode()), repetition]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def digest_route(route: Route) -> str:
    """Return a hash of everything in a route that a drive depends on."""
    digest = hashlib.sha256(f"{route.name}\0{route.town}\0{route.kind}".encode())
    for array in (
        route.xyz_m,
        route.yaw_rad,
        route.s_m,
        route.command,
        route.in_junction,
        route.lane_width_m,
        route.speed_limit_mps,
        route.target_speed_mps,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def plan_differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the names of the entries in which two plan descriptions differ."""
    return sorted(
        key for key in stored.keys() | wanted.keys() if stored.get(key) != wanted.get(key)
    )


def file_name(name: str) -> str:
    """Return the name with everything that does not belong in a file name replaced."""
    return "".join(c if c.isalnum() or c in "-+." else "-" for c in name)
