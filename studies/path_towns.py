"""How the shipped path driver drives each town, with and without its correction.

Unlike the study of corrections (`path_fusion`), it also drives the towns that the networks were
trained on, which the table names, and the steering network that was shipped before.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from bicameral.statistics import share
from bicameral.tables import Entry, Table, percent_cell, print_table, table_of
from edge.shipped import resolve_model
from edge.sidecar import read_sidecar
from sim.evaluation.agents import AgentSpec
from sim.pocket.map_store import MapStore
from studies.measurements import read_records, write_records
from studies.path_drives import Drive
from studies.path_fusion import drive
from studies.path_plan import FOLDER, SHORT_ROUTE, Routes, Stage, StagedPlan, routes_of
from studies.path_rules import AS_STUDIED
from studies.study import Study

RECORD = "path_towns.csv"
TOWNS = ("Millbrook", "Ridgeway", "Town01", "Town04", "Town10HD")
#: The CARLA town that the claim is about.
_FOREIGN = "Town01"
#: Two routes of each kind of turn and one of the others are also driven in every condition.
_SOME = ("left", "left", "right", "right", "straight", "mixed")
#: 20 routes a town, of kinds that all of them have.
_ROUTES = Routes(
    kinds=(*_SOME, *["left"] * 4, *["right"] * 4, *["straight"] * 3, *["mixed"] * 3),
    min_length_m=100.0,
    max_length_m=250.0,
    seed=7,
)
HARD = ("night", "fog", "dense_fog", "patch", "pitch_down", "pitch_up", "yaw_right")

_LOAD = "agent.loading:load_agent"
_MODELS = {"model": "path_a", "second": "path_b"}
#: Not told where the lane leads. The agents that ship are told: `vision_intent`, `fusion_told`.
_NOT_TOLD = {**_MODELS, "navigation": {"intent": False}}
#: As in the study of corrections, and as the fusion drives by default: it learns the map's error.
FUSIONS = tuple(
    AgentSpec(
        name=name,
        correction="none",
        target=_LOAD,
        kwargs={**_NOT_TOLD, "correction": "fusion", "fusion": settings},
    )
    for name, settings in (("fusion", AS_STUDIED), ("fusion_tracked", {}))
)
_AGENTS = (
    AgentSpec(name="vision", correction="none", target=_LOAD, kwargs=_NOT_TOLD),
    AgentSpec(name="vision_intent", correction="none", target=_LOAD, kwargs=_MODELS),
    *FUSIONS,
    AgentSpec(
        name="fusion_told",
        correction="none",
        target=_LOAD,
        kwargs={**_MODELS, "correction": "fusion"},
    ),
    AgentSpec(name="caril_a", correction="none", target=_LOAD, kwargs={"model": "caril_a"}),
)


def run(folder: Path, quick: bool) -> int:
    """Drive what the committed record lacks, write the record and print the tables."""
    known = () if quick else read_records(FOLDER / RECORD, Drive)
    plan = drive_plan(("Millbrook",) if quick else TOWNS, quick=quick)
    plan = replace(plan, known=frozenset(one.key for one in known))
    drives = [*known, *drive(plan, folder)]
    write_records(folder / RECORD, drives, Drive)
    for table in town_tables(drives):
        print_table(table)
    foreign = [one for one in drives if one.town == _FOREIGN and one.condition == "clear"]
    return int(_success(foreign, "vision") < 0.9 or _success(foreign, "fusion_told") < 0.95)


def _success(drives: Sequence[Drive], system: str) -> float:
    """Return the share of a system's drives that succeeded; 0 if there are none."""
    mine = [one.success for one in drives if one.system == system]
    return fmean(mine) if mine else 0.0


def recorded_tables() -> tuple[Table, ...]:
    """Return the tables of the committed record."""
    path = FOLDER / RECORD
    return town_tables(read_records(path, Drive)) if path.exists() else ()


def drive_plan(towns: Sequence[str], *, quick: bool) -> StagedPlan:
    """Plan the drives in some towns; one that is not there is named and left out."""
    routes, left_out = routes_of(SHORT_ROUTE if quick else _ROUTES, towns, MapStore())
    sys.stdout.write("".join(f"{sentence}\n" for sentence in left_out))
    everyone = tuple(agent.name for agent in _AGENTS)
    some = Stage(
        why="everyone on a few routes",
        seeds=(0,),
        routes=(0, len(_SOME)),
        systems=everyone,
        conditions=("clear",),
    )
    hard = some.model_copy(
        update={
            "why": "hard to see",
            "systems": everyone[:-1],
            "conditions": HARD,
        }
    )
    rest = (len(_SOME), len(_ROUTES.kinds))
    others = some.model_copy(update={"why": "the other routes", "routes": rest})
    shipped = tuple(
        hard.model_copy(
            update={"why": "what ships, hard to see, there", "routes": rest, "systems": (name,)}
        )
        for name in ("fusion_told", "vision_intent")
    )
    stages: tuple[Stage, ...] = (some, others, hard, *shipped)
    if quick:
        stages = (some.model_copy(update={"routes": (0, 1), "systems": ("vision", "fusion")}),)
    return StagedPlan(routes=routes, agents=_AGENTS, weathers=("clear", *HARD), stages=stages)


def town_tables(drives: Sequence[Drive]) -> tuple[Table, ...]:
    """Show the drives in clear weather town by town, and those of every condition."""
    clear = [one for one in drives if one.condition == "clear"]
    hard = [one for one in drives if one.condition != "clear"]
    trained = set(_trained_towns())
    by_town = _grouped(
        clear, lambda one: f"{one.town}{', trained on' if one.town in trained else ''}"
    )
    by_condition = _grouped(hard, lambda one: one.condition)
    tables = [
        ("Clear weather, town by town", "town", by_town),
        ("All towns, when it is hard to see", "condition", by_condition),
    ]
    heads = (
        "system",
        "n",
        "success %",
        "distance m|mean distance to the lane centre where it drove",
        "whole m|the same over the whole route, undriven metres counted as 5 m",
        "one lane off|of the failed drives, those that ended in the lane beside",
    )
    return tuple(
        table_of(title, (first, *heads), found, words=2) for title, first, found in tables if found
    )


def _grouped(drives: Sequence[Drive], first: Callable[[Drive], str]) -> list[tuple[Entry, ...]]:
    """Return a row for each town, or condition, and system."""
    rows: list[tuple[Entry, ...]] = []
    systems = dict.fromkeys(one.system for one in drives)
    for place, system in itertools.product(dict.fromkeys(map(first, drives)), systems):
        mine = [one for one in drives if (first(one), one.system) == (place, system)]
        if not mine:
            continue
        succeeded = sum(one.success for one in mine)
        rows.append(
            (
                place,
                system,
                len(mine),
                percent_cell(share(succeeded, len(mine)), 0),
                f"{fmean(one.cross_track_m for one in mine):.2f}",
                f"{fmean(one.whole_m for one in mine):.2f}",
                f"{sum(one.one_lane_off for one in mine)} of {len(mine) - succeeded}",
            )
        )
    return rows


def _trained_towns() -> tuple[str, ...]:
    described = read_sidecar(resolve_model(_MODELS["model"])).agent
    return () if described is None else described.towns


STUDY = Study(
    claim="In clear weather the driver succeeds on 90 % of the routes of a CARLA town that it was "
    "not trained on by what it sees alone, and on 95 % with its correction.",
    setting="Five towns, 20 routes each in clear weather; in seven further conditions 20 of what "
    "ships and 6 of the rest; seed 0 of the episode; about 3 seconds of one processor a drive",
    run=run,
    needs="CARLA's Town01, Town04 and Town10HD: CARLA_ROOT",
)
