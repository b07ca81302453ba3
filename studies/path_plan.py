"""What the study of corrections on the path drives: its plan, read from the committed file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bicameral.errors import DataError, RouteError, UserError
from bicameral.types import Route
from edge.shipped import resolve_model
from edge.sidecar import read_sidecar
from sim.evaluation.agents import AgentSpec
from sim.evaluation.plan import EpisodeSpec, EvaluationPlan
from sim.pocket.map_store import MapStore
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes
from studies.path_rules import Constants
from studies.study import DATA

FOLDER = DATA / "driving"
PLAN = FOLDER / "path_fusion_plan.json"
CONSTANTS = FOLDER / "path_fusion_constants.json"

_MAKE_DRIVER = "studies.path_rules:make_driver"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Routes(_Part):
    """Which routes of each town: their kinds in order, their lengths, and the seed of the draw."""

    kinds: tuple[str, ...]
    min_length_m: float
    max_length_m: float
    seed: int


#: One that takes seconds to draw and to drive, for a look.
SHORT_ROUTE = Routes(kinds=("left",), min_length_m=60.0, max_length_m=110.0, seed=7)


class System(_Part):
    """What drives: see `studies.path_rules.make_driver`.

    `first` is ``"first"`` or ``"second"``: which of the plan's networks is network A; without
    `second` there is no network B.
    """

    rule: str
    first: str = "first"
    second: bool = True
    navigation: dict[str, Any] = {}
    settings: dict[str, Any] = {}


class Validation(_Part):
    """Where the constants come from: a town, how many of its routes, and the weights to try."""

    town: str
    routes: int
    map_weights: tuple[float, ...]


class Stage(_Part):
    """Drives that follow one another: some systems, seeds of the episode, routes and conditions.

    `routes` are the first and the last but one, by number within each town; without conditions, all
    of the plan's are driven.
    """

    why: str
    seeds: tuple[int, ...]
    routes: tuple[int, int]
    systems: tuple[str, ...]
    conditions: tuple[str, ...] = ()


class Comparison(_Part):
    """A system, and those whose drives are subtracted from its own: a family of tests."""

    system: str
    minus: tuple[str, ...]


class StudyPlan(_Part):
    """The committed plan."""

    question: str
    networks: tuple[str, str]
    towns: tuple[str, ...]
    validation: Validation
    routes: Routes
    seed: int
    conditions: tuple[str, ...]
    systems: dict[str, System]
    stages: tuple[Stage, ...]
    comparisons: tuple[Comparison, ...]
    measure: str
    significance: float = Field(gt=0, lt=1)
    rules_of_analysis: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedPlan(EvaluationPlan):
    """An evaluation that drives stage by stage, so that one which ends early is balanced.

    Attributes:
        stages: In this order; drives of an earlier stage are not repeated.
        known: Nor are these, each as route, seed, condition and system.
    """

    stages: tuple[Stage, ...] = ()
    known: frozenset[tuple[str, int, str, str]] = frozenset()

    def episodes(self) -> list[EpisodeSpec]:
        """Return every episode: by stage and seed, route by route in every town, systems last."""
        found: dict[str, EpisodeSpec] = {}
        agents = {agent.name: agent for agent in self.agents}
        towns = list(dict.fromkeys(route.town for route in self.routes))
        by_town = {town: [one for one in self.routes if one.town == town] for town in towns}
        for stage in self.stages:
            for seed in stage.seeds:
                for number in range(*stage.routes):
                    for town in towns:
                        for spec in self._of_route(by_town[town][number:][:1], stage, seed, agents):
                            key = (spec.route.name, seed, spec.weather, spec.agent.name)
                            if key not in self.known:
                                found.setdefault(spec.episode_id, spec)
        return list(found.values())

    def _of_route(
        self, routes: Sequence[Route], stage: Stage, seed: int, agents: Mapping[str, AgentSpec]
    ) -> list[EpisodeSpec]:
        conditions = stage.conditions or self.weathers
        return [
            self._episode(agents[system], route, condition, seed, False)
            for route in routes
            for condition in conditions
            for system in stage.systems
            if system in agents and (condition == conditions[0] or not is_blind(agents[system]))
        ]


def read_plan(path: Path = PLAN) -> StudyPlan:
    """Read the plan.

    Raises:
        DataError: If the file is none.
    """
    try:
        return StudyPlan.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is no plan of this study: {error}") from error


def read_constants(path: Path = CONSTANTS) -> Constants:
    """Read what was chosen on the validation town.

    Raises:
        DataError: If it was not chosen yet.
    """
    try:
        values = ChosenConstants.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{path} holds no constants: {error}; run 'python -m studies path_fusion_validation' "
            "and copy what it writes there"
        ) from error
    return Constants(
        map_weight=values.map_weight, share_b=values.share_b, share_map=values.share_map
    )


class ChosenConstants(_Part):
    """The file of constants: `studies.path_rules.Constants`, and how they were chosen."""

    map_weight: float
    share_b: float
    share_map: float
    chosen_on: str
    drives: int


def is_blind(agent: AgentSpec) -> bool:
    """Return whether a system follows the map alone, which looks the same in all conditions."""
    return bool(agent.kwargs.get("rule") == "map")


def missing_networks(plan: StudyPlan) -> dict[str, str]:
    """Return a sentence for each network of the plan that is not there, by its name."""
    missing = {}
    for network in plan.networks:
        try:
            read_sidecar(resolve_model(network))
        except (DataError, UserError) as error:
            missing[network] = f"left out what needs the network {network}: {error}"
    return missing


def system_agents(
    plan: StudyPlan, names: Sequence[str], constants: Constants
) -> tuple[tuple[AgentSpec, ...], list[str]]:
    """Describe systems for an evaluation.

    Returns:
        Those whose networks are there, and a sentence for each network that is not.
    """
    missing = missing_networks(plan)
    agents = []
    for name in names:
        system = plan.systems[name]
        first, second = plan.networks if system.first == "first" else plan.networks[::-1]
        needed = [] if system.rule == "map" else [first, second] if system.second else [first]
        if missing.keys() & set(needed):
            continue
        kwargs = {
            "rule": system.rule,
            "networks": [first, second if system.second else None],
            "constants": asdict(constants),
            "navigation": system.navigation,
            "settings": system.settings,
        }
        agents.append(
            AgentSpec(
                name=name,
                correction="none",
                target=_MAKE_DRIVER,
                kwargs=kwargs,
                trained_on=None if system.rule == "map" else "pocket",
            )
        )
    return tuple(agents), list(missing.values())


def check_untouched(plan: StudyPlan, towns: Sequence[str]) -> None:
    """Refuse to judge a network on a town that it was trained on.

    Raises:
        DataError: If one was.
    """
    for network in plan.networks:
        described = read_sidecar(resolve_model(network)).agent
        known = set(towns) & set(described.towns if described is not None else ())
        if known:
            raise DataError(
                f"the network {network!r} was trained on {', '.join(sorted(known))}, which this "
                "study judges on; take another network, or another town"
            )


def routes_of(
    wanted: Routes, towns: Sequence[str], store: MapStore
) -> tuple[tuple[Route, ...], list[str]]:
    """Draw the routes of every town, in the order of their kinds.

    Returns:
        The routes, and a sentence for each town that is left out.
    """
    routes: list[Route] = []
    left_out = []
    for town in towns:
        try:
            routes += _routes_of_town(wanted, RoutePlanner(store.load(town).carla_map, town))
        except (UserError, RouteError) as error:
            left_out.append(f"left out {town}: {error}")
    return tuple(routes), left_out


def _routes_of_town(wanted: Routes, planner: RoutePlanner) -> list[Route]:
    drawn = {
        kind: iter(
            sample_routes(
                planner,
                RouteRequest(
                    kind=kind,
                    count=wanted.kinds.count(kind),
                    seed=wanted.seed,
                    min_length_m=wanted.min_length_m,
                    max_length_m=wanted.max_length_m,
                ),
            )
        )
        for kind in dict.fromkeys(wanted.kinds)
    }
    return [next(drawn[kind]) for kind in wanted.kinds]
