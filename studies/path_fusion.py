"""Corrections of the path that is seen, against every control that could explain a gain.

The plan stands in `driving/path_fusion_plan.json` and was committed before any drive. A run goes on
after the drives of the committed record, and where the last one ended; Ctrl-C ends it, and what was
driven is written in any case.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bicameral.errors import UserError
from bicameral.tables import print_table
from bicameral.types import Route
from sim.client.processes import Progress
from sim.client.simulator import ServerChoice
from sim.evaluation.records import EpisodeRecord, read_episode
from sim.evaluation.runner import Execution, evaluate
from sim.pocket.map_store import MapStore
from studies.measurements import read_records, write_records
from studies.path_analysis import (
    Drives,
    beaten,
    comparison_table,
    condition_table,
    describe_claim,
    system_table,
    table_systems,
)
from studies.path_drives import Drive, drive_of
from studies.path_plan import (
    FOLDER,
    SHORT_ROUTE,
    Stage,
    StagedPlan,
    StudyPlan,
    check_untouched,
    read_constants,
    read_plan,
    routes_of,
    system_agents,
)
from studies.path_rules import Constants
from studies.study import Study

#: Where the committed record of a whole run belongs.
RECORD = "path_fusion.csv"

_DRIVES_A_JOB = 4
_QUICK_CONSTANTS = Constants(map_weight=0.3, share_b=0.1, share_map=0.3)
_QUICK_STAGE = Stage(
    why="a look",
    seeds=(0,),
    routes=(0, 1),
    systems=("fusion", "map_1"),
    conditions=("patch",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """What is driven, and what has to be left out.

    Attributes:
        plan: The evaluation.
        left_out: A sentence for each town and each network that is missing.
    """

    plan: StagedPlan
    left_out: tuple[str, ...]


def run(folder: Path, quick: bool) -> int:
    """Drive, write the record and say what it shows."""
    plan = quick_plan(read_plan()) if quick else read_plan()
    constants = _QUICK_CONSTANTS if quick else read_constants()
    known = () if quick else read_records(FOLDER / RECORD, Drive)
    return study(plan, constants, folder, known)


def quick_plan(plan: StudyPlan) -> StudyPlan:
    """Return a plan of one route."""
    few = {"towns": ("Millbrook",), "routes": SHORT_ROUTE, "stages": (_QUICK_STAGE,)}
    return plan.model_copy(update=few)


def study(plan: StudyPlan, constants: Constants, folder: Path, known: Sequence[Drive] = ()) -> int:
    """Drive a plan, write the record and say what it shows; return 1 unless the claim holds.

    Args:
        plan: What to drive.
        constants: What was chosen on the validation town.
        folder: For drives and the record.
        known: Drives of an earlier run, which are not repeated.
    """
    journey = prepare(plan, plan.towns, plan.stages, constants)
    for sentence in journey.left_out:
        sys.stdout.write(f"{sentence}\n")
    still = replace(journey.plan, known=frozenset(one.key for one in known))
    drives = [*known, *drive(still, folder)]
    write_records(folder / RECORD, drives, Drive)
    return report(plan, drives, folder)


def prepare(
    plan: StudyPlan, towns: Sequence[str], stages: Sequence[Stage], constants: Constants
) -> Journey:
    """Draw the routes and describe the systems.

    Raises:
        UserError: If there is no town, or no system.
        DataError: If a network was trained on one of the towns.
    """
    routes, without_town = routes_of(plan.routes, towns, MapStore())
    names = tuple(dict.fromkeys(name for stage in stages for name in stage.systems))
    agents, without_network = system_agents(plan, names, constants)
    left_out = (*without_town, *without_network)
    if not routes or not agents:
        raise UserError(f"there is nothing to drive: {'; '.join(left_out)}")
    if not without_network:
        check_untouched(plan, towns)
    staged = StagedPlan(
        routes=routes, agents=agents, weathers=plan.conditions, seed=plan.seed, stages=tuple(stages)
    )
    return Journey(plan=staged, left_out=left_out)


def drive(plan: StagedPlan, folder: Path) -> list[Drive]:
    """Drive what was not driven yet; return everything that was, also after Ctrl-C."""
    # A simulator with its process takes as long to start as some drives.
    jobs = max(1, min(len(os.sched_getaffinity(0)), len(plan.episodes()) // _DRIVES_A_JOB))
    execution = Execution(server=ServerChoice(), jobs=jobs, resume=True, videos=False)
    try:
        evaluate(plan, folder / "drives", execution, _show)
    except KeyboardInterrupt:
        sys.stdout.write("interrupted; the same command goes on\n")
    return _driven(plan, folder / "drives")


def _show(progress: Progress[EpisodeRecord]) -> None:
    if progress.done % 20 == 0 or progress.done == progress.total:
        sys.stdout.write(f"{progress.done} of {progress.total} drives\n")
        sys.stdout.flush()


def _driven(plan: StagedPlan, folder: Path) -> list[Drive]:
    store = MapStore()
    routes: dict[str, Route] = {route.name: route for route in plan.routes}
    maps = {town: store.load(town).carla_map for town in {one.town for one in plan.routes}}
    drives = []
    for spec in plan.episodes():
        path = folder / "episodes" / spec.episode_id
        if path.exists():
            record = read_episode(path)
            drives.append(drive_of(record, routes[record.route], maps[record.town]))
    return drives


def report(plan: StudyPlan, rows: Sequence[Drive], folder: Path) -> int:
    """Print tables; return 1 unless the claim holds against every control."""
    drives = Drives(rows, plan)
    for title, names in table_systems(plan).items():
        table = system_table(drives, names, title)
        if table is not None:
            print_table(table)
    for table in (comparison_table(drives, plan), condition_table(drives, plan)):
        if table.rows:
            print_table(table)
    sys.stdout.write(f"{describe_claim(drives, plan)}\n")
    judged = beaten(drives, plan)
    return int(not judged or not all(judged.values()))


STUDY = Study(
    claim=(
        "Fusing the path that is seen with that of a noisy map route, weighed by calibrated "
        "variance, drives nearer to the lane centre than either alone, than both networks "
        "together, and than ten controls of the same parts without the confidence (p < 0.01 for "
        "each, adjusted for all)."
    ),
    setting=(
        "Five towns that no network was trained on, 12 routes of 100 to 180 m each, six conditions "
        "(clear, night, fog, patch, camera 3 degrees too low or too far right), seeds 0 to 2 of "
        "the episode; about 2 seconds of one processor a drive, in stages"
    ),
    run=run,
    needs="the networks path_a and path_b",
)
