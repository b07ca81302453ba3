"""Drives among 30 cars and 20 walkers: an expert that minds them, and drivers that know nobody.

The expert looks at the simulator's state. The two controls drive at the speed of the route's
profile: one steers by the route, the other is the network `path_a` with the map's correction. They
show what it costs to see nobody. That network also drives at the pace of `pace_a`: at the median of
the classes of speed, and at their lower quartile, which is slower where `pace_a` is not sure.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bicameral.statistics import clustered_mean, share
from bicameral.tables import Table, columns, estimate_cell, percent_cell, print_table, row
from bicameral.types import Route
from sim.client.simulator import ServerChoice, Simulator
from sim.client.traffic import TrafficDensity
from sim.evaluation.agents import AgentSpec
from sim.evaluation.limits import TRAFFIC_LIMITS
from sim.evaluation.plan import EvaluationPlan
from sim.evaluation.runner import Execution, evaluate
from sim.metrics.summary import ScoredEpisode, score_episodes
from sim.routes.planner import RoutePlanner
from sim.routes.suites import routes_of_suite
from studies.measurements import read_records, write_records
from studies.study import DATA, Study

MAPS = "CARLA_MAPS"
TOWNS = ("Millbrook", "Town01", "Town10HD")
#: Of the suite `short`: a left turn, a right turn, one straight on.
ROUTES = slice(0, None, 2)
CROWD = TrafficDensity(vehicles=30, walkers=20)
QUICK_CROWD = TrafficDensity(vehicles=4, walkers=2)
SEED = 0

EXPERT = AgentSpec(name="expert", correction="none", target="agent.traffic_expert:TrafficExpert")
BLIND = AgentSpec(name="blind", correction="none", target="agent.expert:ExpertAgent")
#: Drivers at a network's pace, by the quantile of its classes that they drive at.
PACES = {"pace_a": 0.5, "pace_a careful": 0.25}


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


def path_driver(name: str = "path_a", **pace: str | float) -> AgentSpec:
    """Describe `path_a` with the map's correction, perhaps with fields of `PaceSettings`."""
    return AgentSpec(
        name=name,
        correction="fusion",
        target="agent.loading:load_agent",
        kwargs={"model": "path_a", "correction": "fusion"} | ({"pace": pace} if pace else {}),
    )


def drivers() -> tuple[AgentSpec, ...]:
    """Describe all drivers."""
    paced = (path_driver(name, model="pace_a", quantile=share) for name, share in PACES.items())
    return EXPERT, BLIND, path_driver(), *paced


def run(folder: Path, quick: bool) -> int:
    """Drive, write the record, and return whether the expert keeps its claim."""
    maps = os.environ.get(MAPS)
    server = ServerChoice(seed=SEED, map_folders=(Path(maps),) if maps else ())
    towns = TOWNS if maps and not quick else TOWNS[:1]
    agents = (EXPERT, BLIND) if quick else drivers()
    routes = tuple(find_routes(server, towns))
    plan = EvaluationPlan(
        routes=routes[:1] if quick else routes,
        agents=agents,
        seed=SEED,
        limits=TRAFFIC_LIMITS,
        traffic=QUICK_CROWD if quick else CROWD,
    )
    with tempfile.TemporaryDirectory() as scratch:
        execution = Execution(server=server, jobs=1 if quick else 2)
        records = evaluate(
            plan,
            Path(scratch) / "run",
            execution,
            lambda progress: print(progress.record.episode_id, progress.record.status, flush=True),
        )
    drives = [drive_of(one) for one in score_episodes(records, {r.name: r for r in routes})]
    write_records(folder / "among_others.csv", drives, Drive)
    print_table(table_of(drives))
    mine = [drive for drive in drives if drive.driver == "expert"]
    blind = [drive for drive in drives if drive.driver == "blind"]
    return int(_score(mine) < _score(blind))


def find_routes(server: ServerChoice, towns: Sequence[str]) -> Iterator[Route]:
    """Yield the routes of every town."""
    with closing(Simulator(server)) as simulator:
        for town in towns:
            with simulator.town(town) as world:
                yield from routes_of_suite(RoutePlanner(world.get_map(), town), "short")[ROUTES]


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


def read_drives(path: Path = DATA / "driving" / "among_others.csv") -> tuple[Drive, ...]:
    """Read the record."""
    return read_records(path, Drive)


def table_of(drives: Sequence[Drive]) -> Table:
    """Summarise the drives by town and driver."""
    rows = []
    towns = list(dict.fromkeys(drive.town for drive in drives))
    drivers = list(dict.fromkeys(drive.driver for drive in drives))
    for where, driver in itertools.product([*towns, "all"], drivers):
        mine = [d for d in drives if d.driver == driver and where in (d.town, "all")]
        km = sum(drive.driven_m for drive in mine) / 1000.0
        hits = sum(d.hit_vehicles + d.hit_walkers + d.hit_static for d in mine)
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
                f"{hits / km:.2f}",
                f"{sum(d.reds_passed for d in mine)} of {sum(d.reds_met for d in mine)}",
            )
        )
    heads = (
        "town",
        "driver",
        "drives",
        "success %",
        "driving score",
        "collisions / km",
        "reds passed",
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
        "Pocket simulator, 3 routes of the suite short on each of Millbrook, Town01 and Town10HD, "
        "seed 0, leaderboard 2.1's penalties; about 12 CPU minutes. --quick drives one "
        "route of Millbrook among 4 cars and 2 walkers."
    ),
    run=run,
    needs=f"{MAPS}: a folder with CARLA's Town01 and Town10HD as .xodr files",
)
