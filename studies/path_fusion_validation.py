"""The constants of the study of corrections on the path, chosen where nothing is judged.

What it writes belongs beside the plan: `path_fusion_constants.json` and `path_fusion_pool.csv`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from agent.correction.second_opinion import TAKEN_B
from bicameral.files import write_json_atomic, write_text_atomic
from bicameral.tables import csv_text, print_table
from sim.evaluation.records import read_episode
from studies.measurements import write_records
from studies.path_analysis import Drives, system_table, whole_m
from studies.path_drives import Drive
from studies.path_fusion import drive, prepare
from studies.path_plan import (
    CONSTANTS,
    SHORT_ROUTE,
    ChosenConstants,
    Stage,
    StagedPlan,
    StudyPlan,
    missing_networks,
    read_plan,
    system_agents,
)
from studies.path_rules import POOL, Constants, pool_columns
from studies.study import Study

#: Any will do: no system here uses them but those whose weight is tried.
_NO_CONSTANTS = Constants(map_weight=0.0, share_b=0.0, share_map=0.0)
_SYSTEMS = ("vision", "second_opinion", "recorded_fusion")

#: Of every drive the pool takes so many ticks that follow one another, from this one on.
_POOL_FROM, _POOL_TICKS = 100, 125


def run(folder: Path, quick: bool) -> int:
    """Drive the validation town, choose and write the constants."""
    plan = read_plan()
    missing = missing_networks(plan)
    if missing:
        sys.stdout.write("\n".join(missing.values()) + "\n")
        return 1
    return choose(quick_plan(plan) if quick else plan, folder)


def quick_plan(plan: StudyPlan) -> StudyPlan:
    """Return a plan of one route and one weight."""
    few = plan.validation.model_copy(
        update={"town": "Millbrook", "routes": 1, "map_weights": (0.3,)}
    )
    return plan.model_copy(
        update={"validation": few, "conditions": ("clear",), "routes": SHORT_ROUTE}
    )


def choose(plan: StudyPlan, folder: Path) -> int:
    """Choose the constants; return 1 unless some weight drives better than vision alone."""
    staged = _staged(plan)
    drives = drive(staged, folder)
    write_records(folder / "path_fusion_validation.csv", drives, Drive)
    names = [agent.name for agent in staged.agents]
    sorted_drives = Drives(drives, plan)
    table = system_table(sorted_drives, names, f"On {plan.validation.town}, for the constants")
    if table is None:
        sys.stdout.write("nothing was driven to its end; no constant is chosen\n")
        return 1
    print_table(table)
    by_system = {name: sorted_drives.of(name, sorted_drives.common(names)) for name in names}
    errors = {name: whole_m(mine).value or 0.0 for name, mine in by_system.items()}
    weights = {f"constant_{weight:g}": weight for weight in plan.validation.map_weights}
    best = min(weights, key=lambda name: errors[name])
    chosen = ChosenConstants(
        map_weight=weights[best],
        share_b=round(_taken(folder, staged), 3),
        share_map=round(fmean(one.map_weight for one in by_system["recorded_fusion"]), 3),
        chosen_on=plan.validation.town,
        drives=len(drives),
    )
    write_json_atomic(folder / CONSTANTS.name, chosen.model_dump())
    write_text_atomic(folder / POOL.name, csv_text(pool_columns(), _pool(folder, staged)))
    return int(errors[best] >= errors["vision"])


def _staged(plan: StudyPlan) -> StagedPlan:
    stage = Stage(
        why="the constants", seeds=(0,), routes=(0, plan.validation.routes), systems=_SYSTEMS
    )
    staged = prepare(plan, (plan.validation.town,), (stage,), _NO_CONSTANTS).plan
    constants = {
        f"constant_{weight:g}": replace(_NO_CONSTANTS, map_weight=weight)
        for weight in plan.validation.map_weights
    }
    tried = [
        replace(agent, name=name)
        for name, values in constants.items()
        for agent in system_agents(plan, ("constant_weight",), values)[0]
    ]
    whole = stage.model_copy(update={"systems": (*_SYSTEMS, *constants)})
    return replace(staged, agents=(*staged.agents, *tried), stages=(whole,))


def _taken(folder: Path, staged: StagedPlan) -> float:
    """Return the share of the ticks in which the second opinion followed network B."""
    taken, ticks = 0, 0
    for path in _episodes(folder, staged, "second_opinion"):
        record = read_episode(path)
        branches = [record.branches[index] for index in record.trajectory.branch]
        taken += branches.count(TAKEN_B)
        ticks += len(branches)
    return taken / max(ticks, 1)


def _pool(folder: Path, staged: StagedPlan) -> list[tuple[str, ...]]:
    """Return the rows of the pool: from every drive some seconds, tick after tick."""
    rows: list[tuple[str, ...]] = []
    for path in _episodes(folder, staged, "recorded_fusion"):
        told = read_episode(path).trajectory.diagnostics
        columns = [
            told[name][_POOL_FROM : _POOL_FROM + _POOL_TICKS].tolist() for name in pool_columns()
        ]
        rows += [tuple(f"{value:.3f}" for value in row) for row in zip(*columns, strict=True)]
    return rows


def _episodes(folder: Path, staged: StagedPlan, system: str) -> list[Path]:
    paths = [
        folder / "drives" / "episodes" / spec.episode_id
        for spec in staged.episodes()
        if spec.agent.name == system
    ]
    return [path for path in paths if path.exists()]


STUDY = Study(
    claim="On the validation town some constant weight of a noisy map route drives nearer to the "
    "lane centre than vision alone.",
    setting="Town01, 4 routes of 100 to 180 m, six conditions, seed 0 of the episode, seven "
    "systems: 168 drives; about 2 seconds of one processor a drive",
    run=run,
    needs="the networks path_a and path_b, and CARLA's Town01: CARLA_ROOT",
)
