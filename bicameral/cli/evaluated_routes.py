"""The routes that `bicameral evaluate` drives: of a suite, or of a leaderboard's file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bicameral.errors import UserError

if TYPE_CHECKING:
    from bicameral.types import Route
    from sim.client.simulator import ServerChoice
    from sim.evaluation.agents import AgentSpec
    from sim.evaluation.plan import EvaluationPlan
    from sim.routes.weathers import RouteWeather
    from sim.routes.xml import RouteDefinition

#: What a suite is driven in where nothing else is asked for: an easy condition, and that in which
#: the recorded drives of Millbrook differ most with and without the map.
_SUITE_WEATHERS = ("clear", "yaw_right")
#: How many of the towns that are missing are explained.
_MOST_EXPLAINED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFlags:
    """Which routes a run is to drive.

    Attributes:
        town: Map to drive on: a town's name or an OpenDRIVE file.
        suite: Named set of routes: short, standard, study, validation or no_choice.
        routes: Leaderboard routes XML to use instead of a suite; its scenarios are not driven.
        routes_subset: Which of them to drive, e.g. 0-4,7: ids in a file, as the leaderboard takes
            them, positions in a suite.
        skip_unknown_towns: Leave out routes of the file in towns that the simulator does not have.
    """

    town: str = "Millbrook"
    suite: str = "short"
    routes: Path | None = None
    routes_subset: str = ""
    skip_unknown_towns: bool = False


SHORT_SUITE = RouteFlags()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenRoutes:
    """Routes, and what their file says of them; see `sim.evaluation.plan.EvaluationPlan`."""

    routes: tuple[Route, ...]
    skies: Mapping[str, tuple[RouteWeather, ...]] = field(default_factory=dict)
    dropped_scenarios: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped_towns: Mapping[str, int] = field(default_factory=dict)

    def plan(
        self,
        *,
        agents: tuple[AgentSpec, ...],
        weathers: tuple[str, ...],
        repetitions: int,
        seed: int,
    ) -> EvaluationPlan:
        """Plan the drives; without weathers those of the file, or a clear and a difficult one."""
        from bicameral.cli.driving_agents import expert_agent
        from sim.evaluation.conditions import ROUTE_WEATHER
        from sim.evaluation.plan import EvaluationPlan

        return EvaluationPlan(
            routes=self.routes,
            skies=self.skies,
            dropped_scenarios=self.dropped_scenarios,
            skipped_towns=self.skipped_towns,
            agents=agents,
            weathers=weathers or ((ROUTE_WEATHER,) if self.skies else _SUITE_WEATHERS),
            repetitions=repetitions,
            seed=seed,
            reference=expert_agent(),
        )


def driven_server(
    town: str, maps: tuple[Path, ...], seed: int, address: tuple[str, int] | None
) -> ServerChoice:
    """Describe the simulator to drive on: pocket simulators of our own, or the one at an address.

    Args:
        town: A town's name, or an OpenDRIVE file, which becomes the town of its name.
        maps: Further folders with towns.
        seed: Of a simulator of our own.
        address: Host and port.
    """
    from sim.client.simulator import ServerChoice

    host, port = address or (None, 0)
    return ServerChoice(
        host=host,
        port=port,
        seed=seed,
        map_folders=maps,
        town_files={Path(town).stem: Path(town)} if town.endswith(".xodr") else {},
    )


def choose_routes(server: ServerChoice, flags: RouteFlags) -> ChosenRoutes:
    """Plan the routes on the maps that the simulator itself reports.

    Raises:
        UserError: If there are no such routes, or they lie in towns that the simulator has not.
    """
    from sim.client.simulator import Simulator
    from sim.routes.planner import RoutePlanner
    from sim.routes.subset import pick_routes
    from sim.routes.suites import routes_of_suite
    from sim.routes.xml import plan_definition, read_routes

    definitions: list[RouteDefinition] = []
    if flags.routes is not None:
        by_id = {definition.route_id: definition for definition in read_routes(flags.routes)}
        definitions = pick_routes(by_id, flags.routes_subset)
    with ExitStack() as stack:
        simulator = stack.enter_context(closing(Simulator(server, compile_first=False)))

        def planner(name: str) -> RoutePlanner:
            return RoutePlanner(stack.enter_context(simulator.town(name)).get_map(), name)

        if flags.routes is None:
            town = Path(flags.town).stem if flags.town.endswith(".xodr") else flags.town
            suite = routes_of_suite(planner(town), flags.suite)
            by_position = {str(position): route for position, route in enumerate(suite)}
            return ChosenRoutes(routes=tuple(pick_routes(by_position, flags.routes_subset)))
        known = simulator.towns()
        missing = Counter(d.town for d in definitions if not _is_among(d.town, known))
        if missing and not flags.skip_unknown_towns:
            raise UserError(
                f"{flags.routes}: {_describe_missing(missing)}. Drive the other routes alone with "
                "--skip-unknown-towns"
            )
        here = [d for d in definitions if d.town not in missing]
        if not here:
            raise UserError(f"{flags.routes}: no route is left. {_describe_missing(missing)}")
        planners = {name: planner(name) for name in dict.fromkeys(d.town for d in here)}
        routes = [plan_definition(planners[d.town], d, kind="mixed") for d in here]
    return ChosenRoutes(
        routes=tuple(routes),
        skies={d.name: d.weathers for d in here},
        dropped_scenarios={d.name: d.scenarios for d in here if d.scenarios},
        skipped_towns=dict(missing),
    )


def _is_among(town: str, known: Collection[str]) -> bool:
    """Whether there is such a town; ``NAME_Opt`` is the town ``NAME`` with other layers."""
    return town in known or town.removesuffix("_Opt") in known


def _describe_missing(missing: Mapping[str, int]) -> str:
    from sim.pocket.carla_towns import how_to_get

    towns = sorted(missing)
    counted = ", ".join(f"{missing[town]} on {town}" for town in towns)
    ways = dict.fromkeys(how_to_get(town.removesuffix("_Opt")) for town in towns[:_MOST_EXPLAINED])
    return f"routes in towns that the simulator does not have: {counted}. {'; '.join(ways)}"
