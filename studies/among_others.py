"""Drives among 30 cars and 20 walkers: an expert that minds them, and drivers that know nobody.

The expert looks at the simulator's state. The blind control steers by the route and drives at the
speed of the route's profile, which shows what it costs to see nobody. `pace_a` is the network
`path_a` with the map's correction at the pace of the network `pace_a`.

A run goes on after the drives of the committed record, and where the last one ended; Ctrl-C ends
it, and what was driven is written in any case. It drives one route of every town before the next,
and every route before the next seed, so that a run that ends early is balanced.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bicameral.statistics import clustered_mean, share
from bicameral.tables import Table, columns, estimate_cell, percent_cell, print_table, row
from bicameral.types import Route
from sim.client.simulator import ServerChoice
from sim.client.traffic import TrafficDensity
from sim.evaluation.agents import AgentSpec
from sim.evaluation.limits import TRAFFIC_LIMITS
from sim.evaluation.plan import EpisodeSpec, EvaluationPlan
from sim.evaluation.records import read_episode
from sim.evaluation.runner import Execution, evaluate
from sim.metrics.summary import ScoredEpisode, score_episodes
from sim.pocket.map_store import MapStore
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes
from sim.routes.suites import SUITE_SEED
from studies.measurements import read_records, write_records
from studies.study import DATA, Study

MAPS = "CARLA_MAPS"
TOWNS = ("Millbrook", "Town01", "Town10HD")
#: Kinds of the routes of every town, in the order in which they are driven.
KINDS = (*("left", "right", "straight") * 4, *("left", "right") * 3, "mixed", "mixed")
#: As long as those of the suite `short`.
LENGTHS_M = {"mixed": (160.0, 280.0)}
LENGTH_M = (120.0, 200.0)
REPETITIONS = 3
CROWD = TrafficDensity(vehicles=30, walkers=20)
QUICK_CROWD = TrafficDensity(vehicles=4, walkers=2)
SEED = 0
RECORD = DATA / "driving" / "among_others.csv"

EXPERT = AgentSpec(name="expert", correction="none", target="agent.traffic_expert:TrafficExpert")
BLIND = AgentSpec(name="blind", correction="none", target="agent.expert:ExpertAgent")
PACED = AgentSpec(
    name="pace_a",
    correction="fusion",
    target="agent.loading:load_agent",
    kwargs={"model": "path_a", "correction": "fusion", "pace": {"model": "pace_a"}},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """A drive as a row of the record."""

    town: str
    route: str
    repetition: int
    driver: str
    status: str
    success: int
    driving_score: float
    completion: float
    driven_m: float
    hit_vehicles: int
    hit_walkers: int
    hit_static: int
    reds_met: int
    reds_passed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancedPlan(EvaluationPlan):
    """An evaluation that drives every town's first routes first, and repeats them last.

    Attributes:
        known: Drives that are not repeated: route, repetition and driver.
    """

    known: frozenset[tuple[str, int, str]] = frozenset()

    def episodes(self) -> list[EpisodeSpec]:
        """Return every episode that is not known, agents last."""
        number: dict[str, int] = {}
        for town in {route.town for route in self.routes}:
            mine = (route.name for route in self.routes if route.town == town)
            number |= {name: index for index, name in enumerate(mine)}
        still = (
            spec
            for spec in EvaluationPlan.episodes(self)
            if (spec.route.name, spec.repetition, spec.agent.name) not in self.known
        )
        return sorted(still, key=lambda spec: (spec.repetition, number[spec.route.name]))


def run(folder: Path, quick: bool) -> int:
    """Drive, write the record, and return whether the expert keeps its claim."""
    maps = os.environ.get(MAPS)
    folders = (Path(maps),) if maps else ()
    towns = TOWNS if maps and not quick else TOWNS[:1]
    routes = tuple(find_routes(MapStore(folders), towns, KINDS[:1] if quick else KINDS))
    known = () if quick else read_drives()
    plan = BalancedPlan(
        routes=routes,
        agents=(EXPERT, BLIND) if quick else (EXPERT, BLIND, PACED),
        repetitions=1 if quick else REPETITIONS,
        seed=SEED,
        limits=TRAFFIC_LIMITS,
        traffic=QUICK_CROWD if quick else CROWD,
        known=frozenset((one.route, one.repetition, one.driver) for one in known),
    )
    drives = [*known, *drive(plan, folder / "drives", ServerChoice(seed=SEED, map_folders=folders))]
    write_records(folder / RECORD.name, drives, Drive)
    print_table(table_of(drives))
    mine = [drive for drive in drives if drive.driver == "expert"]
    blind = [drive for drive in drives if drive.driver == "blind"]
    return int(_score(mine) < _score(blind))


def find_routes(
    store: MapStore, towns: Sequence[str], kinds: Sequence[str] = KINDS
) -> Iterator[Route]:
    """Yield the routes of every town, in the order of their kinds."""
    for town in towns:
        planner = RoutePlanner(store.load(town).carla_map, town)
        drawn = {
            kind: iter(sample_routes(planner, _request(kind, count)))
            for kind, count in Counter(kinds).items()
        }
        yield from (next(drawn[kind]) for kind in kinds)


def _request(kind: str, count: int) -> RouteRequest:
    low_m, high_m = LENGTHS_M.get(kind, LENGTH_M)
    return RouteRequest(
        kind=kind, count=count, seed=SUITE_SEED, min_length_m=low_m, max_length_m=high_m
    )


def drive(plan: EvaluationPlan, folder: Path, server: ServerChoice) -> list[Drive]:
    """Drive what was not driven yet; return everything that was, also after Ctrl-C."""
    with suppress(KeyboardInterrupt):
        evaluate(
            plan,
            folder,
            Execution(server=server, resume=True),
            lambda progress: print(progress.record.episode_id, progress.record.status, flush=True),
        )
    paths = (folder / "episodes" / spec.episode_id for spec in plan.episodes())
    records = [read_episode(path) for path in paths if path.exists()]
    return [drive_of(one) for one in score_episodes(records, {r.name: r for r in plan.routes})]


def drive_of(episode: ScoredEpisode) -> Drive:
    """Return the row of a drive."""
    record, value = episode.record, {name: one.value for name, one in episode.metrics.items()}
    progress_m = record.trajectory.progress_m
    return Drive(
        town=record.town,
        route=record.route,
        repetition=record.repetition,
        driver=record.agent,
        status=str(record.status),
        success=int(value["success"]),
        driving_score=round(value["driving_score"], 2),
        completion=round(100.0 * value["route_completion"], 1),
        driven_m=round(float(progress_m.max()), 1) if len(progress_m) else 0.0,
        hit_vehicles=int(value["collisions_vehicle"]),
        hit_walkers=int(value["collisions_walker"]),
        hit_static=int(value["collisions_static"]),
        reds_met=int(value["red_lights_met"]),
        reds_passed=int(value["red_lights_passed"]),
    )


def read_drives(path: Path = RECORD) -> tuple[Drive, ...]:
    """Read the record."""
    return read_records(path, Drive)


def table_of(drives: Sequence[Drive]) -> Table:
    """Summarise the drives by town and driver."""
    rows = []
    towns = list(dict.fromkeys(drive.town for drive in drives))
    drivers = list(dict.fromkeys(drive.driver for drive in drives))
    for where, driver in itertools.product([*towns, "all"], drivers):
        mine = [d for d in drives if d.driver == driver and where in (d.town, "all")]
        if not mine:
            continue
        km = sum(drive.driven_m for drive in mine) / 1000.0
        hits = sum(d.hit_vehicles + d.hit_walkers + d.hit_static for d in mine)
        passed, met = sum(d.reds_passed for d in mine), sum(d.reds_met for d in mine)
        routes = [drive.route for drive in mine]
        score = clustered_mean(
            [drive.driving_score for drive in mine], routes, "%", seed=SEED, name="score"
        )
        rows.append(
            row(
                where,
                driver,
                len(mine),
                percent_cell(share(sum(d.success for d in mine), len(mine)), 0),
                estimate_cell(score, 1),
                f"{km:.1f}",
                f"{hits / km:.2f}",
                f"{passed} of {met}",
                percent_cell(share(passed, met), 0) if met else None,
            )
        )
    heads = (
        "town",
        "driver",
        "drives",
        "success %",
        "driving score",
        "km",
        "collisions / km",
        "reds passed",
        "%",
    )
    return Table(title="Among others", columns=columns(*heads, words=2), rows=tuple(rows))


def _score(drives: Sequence[Drive]) -> float:
    return sum(drive.driving_score for drive in drives) / len(drives)


STUDY = Study(
    claim=(
        "Among 30 cars and 20 walkers an expert that sees everybody has a higher driving score "
        "than the same steering at the speed of the route's profile."
    ),
    setting=(
        "Pocket simulator, 20 routes of 120 to 280 m on each of Millbrook, Town01 and Town10HD, up "
        "to 3 seeds, leaderboard 2.1's penalties; about 10 CPU seconds a drive. --quick drives one "
        "route of Millbrook among 4 cars and 2 walkers."
    ),
    run=run,
    needs=f"{MAPS}: a folder with CARLA's Town01 and Town10HD as .xodr files",
)
