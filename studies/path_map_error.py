"""Whether a fusion that learns the map's error loses fewer drives than one that does not.

The routes were drawn after the settings had been chosen on other drives of the same towns. On some
of them the navigation is also wrong in other ways than it believes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bicameral.statistics import mean, share
from bicameral.tables import Entry, Table, estimate_cell, percent_cell, print_table, table_of
from sim.evaluation.agents import AgentSpec
from sim.pocket.map_store import MapStore
from studies.measurements import read_records, write_records
from studies.path_drives import Drive
from studies.path_fusion import drive
from studies.path_plan import FOLDER, SHORT_ROUTE, Routes, Stage, StagedPlan, routes_of
from studies.path_towns import FUSIONS
from studies.study import Study

RECORD = "path_map_error.csv"
_TOWNS = ("Ridgeway", "Town10HD", "Town04")
_ROUTES = Routes(
    kinds=(*["left"] * 4, *["right"] * 4, *["straight"] * 2, *["mixed"] * 2),
    min_length_m=100.0,
    max_length_m=250.0,
    seed=11,
)
#: Of the learning fusion: its networks are told where the lane leads, as by default.
_TOLD = "told"
#: In what ways the navigation can be wrong; without a name, as it believes.
_FAULTS: dict[str, dict[str, Any]] = {
    "bias_2m": {"bias_m": 2.0},
    "sigma_2m_unknown": {"sigma_m": 2.0, "believed_sigma_m": 1.0},
    "map_1m_off": {"map_offset_m": 1.0},
}
_NAVIGATION: dict[str, dict[str, Any]] = {"": {}, _TOLD: {"intent": True}, **_FAULTS}
#: How the table names it.
_SHOWN = {
    "": "off by 1 m, as believed",
    _TOLD: "likewise, and who learns is told where the lane leads",
    "bias_2m": "2 m to one side",
    "sigma_2m_unknown": "off by 2 m, believed 1 m",
    "map_1m_off": "the map 1 m to one side",
}
#: Routes of each town on which the navigation is wrong in another way than it believes.
_WRONG = (2, 7)


def run(folder: Path, quick: bool) -> int:
    """Drive, write the record and print the table."""
    drives = drive(_plan(("Millbrook",) if quick else _TOWNS, quick=quick), folder)
    write_records(folder / RECORD, drives, Drive)
    print_table(map_error_table(drives))
    lost = [sum(1 - one.success for one in _of(drives, name, "")) for name in _names()]
    return int(lost[1] >= lost[0])


def recorded_table() -> Table:
    """Return the table of the committed record."""
    return map_error_table(read_records(FOLDER / RECORD, Drive))


def map_error_table(drives: Sequence[Drive]) -> Table:
    """Compare both fusions, route by route, for every fault of the navigation."""
    rows: list[tuple[Entry, ...]] = []
    for fault in _NAVIGATION:
        without, learns = _names()
        plain = _of(drives, without, "" if fault == _TOLD else fault)
        learning = _of(drives, learns, fault)
        if not plain or len(plain) != len(learning):
            continue
        gap = [b.whole_m - a.whole_m for a, b in zip(plain, learning, strict=True)]
        successes = (
            percent_cell(share(sum(one.success for one in mine), len(mine)), 0)
            for mine in (plain, learning)
        )
        rows.append((_SHOWN[fault], len(gap), *successes, estimate_cell(mean(gap), 3)))
    heads = (
        "navigation",
        "n",
        "success %, fusion",
        "success %, learning the map's error",
        "difference m|mean distance to the lane centre over the whole route, with minus without",
    )
    return table_of("What learning the map's error changes", heads, rows)


def _names() -> tuple[str, str]:
    plain, learning = FUSIONS
    return plain.name, learning.name


def _of(drives: Sequence[Drive], name: str, fault: str) -> list[Drive]:
    """Return a fusion's drives with a fault of the navigation, by route."""
    system = _system(name, fault)
    return sorted((one for one in drives if one.system == system), key=lambda one: one.route)


def _system(name: str, fault: str) -> str:
    return f"{name}_{fault}" if fault else name


def _agent(agent: AgentSpec, fault: str) -> AgentSpec:
    navigation = {**agent.kwargs["navigation"], **_NAVIGATION[fault]}
    return replace(
        agent,
        name=_system(agent.name, fault),
        kwargs={**agent.kwargs, "navigation": navigation},
    )


def _plan(towns: Sequence[str], *, quick: bool) -> StagedPlan:
    routes, left_out = routes_of(SHORT_ROUTE if quick else _ROUTES, towns, MapStore())
    sys.stdout.write("".join(f"{sentence}\n" for sentence in left_out))
    agents = tuple(_agent(agent, fault) for fault in _NAVIGATION for agent in FUSIONS)
    fresh = Stage(
        why="routes drawn after the settings were chosen",
        seeds=(0,),
        routes=(0, 1 if quick else len(_ROUTES.kinds)),
        systems=(*_names(), _system(_names()[1], _TOLD)),
    )
    wrong = Stage(
        why="a navigation that is wrong in other ways than it believes",
        seeds=(0,),
        routes=_WRONG,
        systems=tuple(_system(name, fault) for fault in _FAULTS for name in _names()),
    )
    stages = (fresh,) if quick else (fresh, wrong)
    return StagedPlan(routes=routes, agents=agents, weathers=("clear",), stages=stages)


STUDY = Study(
    claim="A fusion that learns on the road how far off the map is loses fewer drives than one "
    "that does not.",
    setting="Three towns, 12 routes each in clear weather, 5 of them also with a navigation that "
    "is wrong in three other ways, seed 0 of the episode; about 4 seconds of one processor a drive",
    run=run,
    needs="CARLA's Town04 and Town10HD: CARLA_ROOT",
)
