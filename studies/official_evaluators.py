"""The field's own programs, unmodified, against the pocket simulator.

Four scenarios of scenario_runner 0.9.16 and two routes of leaderboard 2.1, whose agent has camera,
lidar (64 channels, 600,000 points a second), radar, GNSS, IMU and speedometer. Each runs on a
simulator of its own. Then the shipped driver takes part in leaderboard 2.1 and in Bench2Drive, on
every route whose town is here, twice. `make evaluators SOURCES=...` sets up what they need;
docs/official-evaluators.md says more.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.entry.files import write_entry
from bicameral.files import write_text_atomic
from server.bench.running import processor_s
from sim.client.local_server import LocalServer, find_free_port_pair
from studies.entry_runs import (
    ENTRY_HEADER,
    SCENARIO_HEADER,
    DrivenRoute,
    EntrySetup,
    drive_entry,
    scenario_rows,
)
from studies.evaluator_runs import (
    FILES,
    Outcome,
    Ports,
    Sources,
    find_sources,
    run_route,
    run_scenario,
)
from studies.measurements import write_rows
from studies.study import Study

_SOURCES, _PYTHON, _MAPS = "EVALUATOR_SOURCES", "EVALUATOR_PYTHON", "EVALUATOR_MAPS"
_SEED = 0
_HEADER = ("run", "town", "outcome", "simulated s", "verdict", "what was missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorRun:
    """One run of an evaluator.

    Attributes:
        name: How the table names it.
        town: The town that it loads.
        start: Runs it in a folder for its files.
    """

    name: str
    town: str
    start: Callable[[Sources, Ports, Path], Outcome]


def _scenario(name: str, town: str, *chosen: str) -> EvaluatorRun:
    return EvaluatorRun(
        name=name,
        town=town,
        start=lambda sources, ports, folder: run_scenario(sources, ports, folder, chosen),
    )


def _route(name: str, town: str, routes: Callable[[Sources], Path]) -> EvaluatorRun:
    return EvaluatorRun(
        name=name,
        town=town,
        start=lambda sources, ports, folder: run_route(
            sources, ports, folder, routes(sources), "0"
        ),
    )


_RUNS = (
    _scenario("FollowLeadingVehicle_1", "Town01", "--scenario", "FollowLeadingVehicle_1"),
    _scenario("ChangeLane_1", "Town04", "--scenario", "ChangeLane_1"),
    _scenario(
        "PedestrianCrossingFront",
        "Town01",
        "--openscenario",
        "srunner/examples/PedestrianCrossingFront.xosc",
    ),
    _scenario("ControlLoss_1", "Town01", "--scenario", "ControlLoss_1"),
    _route("route, Town01, 0 scenarios", "Town01", lambda _: FILES / "routes_town01.xml"),
    _route(
        "routes_town10, 9 scenarios",
        "Town10HD",
        lambda sources: sources.scenario_runner / "srunner/data/routes_town10.xml",
    ),
)


def run(folder: Path, quick: bool) -> int:
    """Run the evaluators and print what came of each."""
    if _SOURCES not in os.environ or _PYTHON not in os.environ:
        print(f"nothing was run: {_SOURCES} and {_PYTHON} are not set; use `make evaluators`")
        return 1
    # The evaluators work in other folders; the interpreter stays a link, or it has no packages.
    checkouts, python = Path(os.environ[_SOURCES]).resolve(), Path(os.environ[_PYTHON]).absolute()
    sources = find_sources(checkouts, python)
    maps = tuple(Path(name) for name in os.environ.get(_MAPS, "").split(os.pathsep) if name)
    record: list[tuple[str, ...]] = []
    completed = 0
    runs = _RUNS[:1] if quick else _RUNS
    for one in runs:
        print(f"{one.name} on {one.town} ...", flush=True)
        outcome, wall_s, cpu_s = _run_one(one, sources, maps, folder)
        completed += outcome.completed
        missing = "; ".join(outcome.missing) or "nothing"
        if outcome.note:
            print(f"  {outcome.note}")
        what = "completed" if outcome.completed else "failed"
        record.append((one.name, one.town, what, f"{outcome.game_s:.1f}", outcome.verdict, missing))
        print(f"  {what} in {wall_s:.0f} s; CPU time of the server {cpu_s:.1f} s")
    # Without wall and CPU time, which belong to the machine.
    write_rows(folder / "runs.csv", _HEADER, record, words=3)
    setup = EntrySetup(
        sources=sources,
        bench2drive=checkouts / "Bench2Drive",
        maps=maps,
        files=write_entry(folder / "entry"),
    )
    driven: list[DrivenRoute] = []
    try:
        driven.extend(drive_entry(setup, folder, quick=quick))
    finally:
        # Hours of drives are told whatever ends the rest.
        write_rows(folder / "entry.csv", ENTRY_HEADER, [one.entry() for one in driven], words=5)
        write_rows(folder / "scenarios.csv", SCENARIO_HEADER, scenario_rows(driven), words=2)
    print(f"logs and results lie in {folder}")
    fine = completed == len(runs) and all(one.driven and one.equal for one in driven)
    return 0 if fine else 1


def _run_one(
    one: EvaluatorRun, sources: Sources, maps: tuple[Path, ...], folder: Path
) -> tuple[Outcome, float, float]:
    """Run one on a new simulator; return what came of it, wall and server CPU time."""
    own = folder / one.name.replace(" ", "_").replace(",", "")
    with TemporaryDirectory() as clean, LocalServer(seed=_SEED, map_folders=maps) as server:
        names = {Path(name).name for name in server.connect().get_available_maps()}
        if one.town not in names:
            missing = f"{one.town}: `bicameral maps get` fetches it, MAPS names its folder"
            outcome = Outcome(completed=False, verdict="not run", game_s=0.0, missing=(missing,))
            return outcome, 0.0, 0.0
        ports = Ports(simulator=server.port, traffic_manager=find_free_port_pair())
        process_id = server.process_id or 0
        begin_s, begin_cpu_s = time.monotonic(), processor_s(process_id)
        outcome = one.start(sources, ports, Path(clean))
        wall_s, cpu_s = time.monotonic() - begin_s, processor_s(process_id) - begin_cpu_s
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        for file in Path(clean).iterdir():
            write_text_atomic(own / file.name, file.read_text(errors="replace"))
        write_text_atomic(own / "server.txt", server.log_tail(200))
    return outcome, wall_s, cpu_s


STUDY = Study(
    claim="scenario_runner 0.9.16 and leaderboard 2.1, unmodified, complete four scenarios and two "
    "routes with a full suite of sensors on the pocket simulator.",
    setting="Two cores of a shared AMD EPYC, n = 1 each, seed 0; half an hour.",
    run=run,
    needs=f"{_SOURCES} and {_PYTHON}, which `make evaluators` sets; Town01, Town04 and Town10HD in "
    f"CARLA_ROOT or {_MAPS}",
)
