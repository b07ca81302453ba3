"""How the shipped path driver drives each town, with and without its correction.

Unlike the study of corrections (`path_fusion`), it also drives the towns that the networks were
trained on, which the table names, and the steering network that was shipped before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bicameral.errors import UserError
from bicameral.statistics import share
from bicameral.tables import Column, Row, Table, columns, percent_cell, print_table, row
from bicameral.types import Route
from edge.shipped import resolve_model
from edge.sidecar import read_sidecar
from sim.evaluation.agents import AgentSpec
from sim.pocket.map_store import MapStore
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes
from studies.path_drives import Drive, read_drives, write_drives
from studies.path_fusion import drive
from studies.path_plan import FOLDER, Stage, StagedPlan
from studies.study import Study

RECORD = "path_towns.csv"
TOWNS = ("Millbrook", "Ridgeway", "Town01", "Town04", "Town10HD")
#: The CARLA town that the claim is about.
_FOREIGN = "Town01"
#: 20 routes a town, of kinds that all of them have.
_ROUTES = {"left": 6, "right": 6, "straight": 4, "mixed": 4}
_LENGTH_M = (100.0, 250.0)
_SEED = 7
#: Two of each kind of turn and one of the others, by number, are also driven in every condition.
_SOME = (0, 1, 6, 7, 12, 16)
HARD = ("night", "fog", "dense_fog", "patch", "pitch_down", "pitch_up", "yaw_right")

_LOAD = "agent.loading:load_agent"
_MODELS = {"model": "path_a", "second": "path_b"}
_AGENTS = (
    AgentSpec(name="vision", correction="none", target=_LOAD, kwargs=_MODELS),
    AgentSpec(
        name="vision_intent",
        correction="none",
        target=_LOAD,
        kwargs={**_MODELS, "navigation": {"intent": True}},
    ),
    AgentSpec(
        name="fusion", correction="none", target=_LOAD, kwargs={**_MODELS, "correction": "fusion"}
    ),
    AgentSpec(name="caril_a", correction="none", target=_LOAD, kwargs={"model": "caril_a"}),
)


def run(folder: Path, quick: bool) -> int:
    """Drive, write the record and print the tables."""
    towns = ("Millbrook",) if quick else TOWNS
    plan = drive_plan(towns, quick=quick)
    drives = drive(plan, folder)
    write_drives(folder / RECORD, drives)
    for table in town_tables(drives):
        print_table(table)
    foreign = [one for one in drives if one.town == _FOREIGN and one.condition == "clear"]
    return int(_success(foreign, "vision") < 0.9 or _success(foreign, "fusion") < 0.95)


def _success(drives: Sequence[Drive], system: str) -> float:
    """Return the share of a system's drives that succeeded; 0 if there are none."""
    mine = [one.success for one in drives if one.system == system]
    return _mean(mine) if mine else 0.0


def recorded_tables() -> tuple[Table, ...]:
    """Return the tables of the committed record."""
    path = FOLDER / RECORD
    return town_tables(read_drives(path)) if path.exists() else ()


def drive_plan(towns: Sequence[str], *, quick: bool) -> StagedPlan:
    """Plan the drives in some towns; one that is not there is named and left out."""
    routes: list[Route] = []
    store = MapStore()
    for town in towns:
        try:
            planner = RoutePlanner(store.load(town).carla_map, town)
        except UserError as error:
            sys.stdout.write(f"left out {town}: {error}\n")
            continue
        drawn = _draw(planner)
        # The routes that are driven more often come first: a stage takes routes by their numbers.
        routes += [drawn[number] for number in _SOME]
        routes += [route for number, route in enumerate(drawn) if number not in _SOME]
    everyone = tuple(agent.name for agent in _AGENTS)
    some = Stage(
        why="everyone on a few routes",
        seeds=(0,),
        routes=(0, len(_SOME)),
        systems=everyone,
        conditions=("clear",),
    )
    hard = some.model_copy(
        update={"why": "hard to see", "systems": ("vision", "fusion"), "conditions": HARD}
    )
    others = some.model_copy(update={"why": "the other routes", "routes": (len(_SOME), 20)})
    stages: tuple[Stage, ...] = (some, others, hard)
    if quick:
        stages = (some.model_copy(update={"routes": (0, 1), "systems": ("vision", "fusion")}),)
    return StagedPlan(
        routes=tuple(routes), agents=_AGENTS, weathers=("clear", *HARD), stages=stages
    )


def _draw(planner: RoutePlanner) -> list[Route]:
    low_m, high_m = _LENGTH_M
    return [
        route
        for kind, count in _ROUTES.items()
        for route in sample_routes(
            planner,
            RouteRequest(
                kind=kind, count=count, seed=_SEED, min_length_m=low_m, max_length_m=high_m
            ),
        )
    ]


def town_tables(drives: Sequence[Drive]) -> tuple[Table, ...]:
    """Show the drives in clear weather town by town, and those of every condition."""
    clear = [one for one in drives if one.condition == "clear"]
    hard = [one for one in drives if one.condition != "clear"]
    trained = set(_trained_towns())
    rows = [
        _row(f"{town}{', trained on' if town in trained else ''}", system, mine)
        for town in _unique(one.town for one in clear)
        for system in _unique(one.system for one in clear)
        if (mine := [one for one in clear if (one.town, one.system) == (town, system)])
    ]
    by_condition = [
        _row(condition, system, mine)
        for condition in _unique(one.condition for one in hard)
        for system in _unique(one.system for one in hard)
        if (mine := [one for one in hard if (one.condition, one.system) == (condition, system)])
    ]
    tables = [
        ("Clear weather, town by town", "town", rows),
        ("All towns, when it is hard to see", "condition", by_condition),
    ]
    return tuple(
        Table(
            title=title,
            columns=(
                Column(label=first, words=True),
                Column(label="system", words=True),
                *columns(
                    "n",
                    "success %",
                    "distance m|mean distance to the lane centre where it drove",
                    "whole m|the same over the whole route, undriven metres counted as 5 m",
                    "one lane off|of the failed drives, those that ended in the lane beside",
                    words=0,
                ),
            ),
            rows=tuple(found),
        )
        for title, first, found in tables
        if found
    )


def _row(first: str, system: str, drives: Sequence[Drive]) -> Row:
    succeeded = sum(one.success for one in drives)
    return row(
        first,
        system,
        len(drives),
        percent_cell(share(succeeded, len(drives)), 0),
        f"{_mean([one.cross_track_m for one in drives]):.2f}",
        f"{_mean([one.whole_m for one in drives]):.2f}",
        f"{sum(one.one_lane_off for one in drives)} of {len(drives) - succeeded}",
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _trained_towns() -> tuple[str, ...]:
    described = read_sidecar(resolve_model(_MODELS["model"])).agent
    return () if described is None else described.towns


STUDY = Study(
    claim="In clear weather the driver succeeds on 90 % of the routes of a CARLA town that it was "
    "not trained on by what it sees alone, and on 95 % with its correction.",
    setting="Five towns, 20 routes each in clear weather and 6 in seven further conditions, seed 0 "
    "of the episode; about 3 seconds of one processor a drive",
    run=run,
    needs="CARLA's Town01, Town04 and Town10HD: CARLA_ROOT",
)
