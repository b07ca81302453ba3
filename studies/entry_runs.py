"""The shipped driver in leaderboard 2.1 and Bench2Drive, by `bicameral leaderboard-entry`.

Every route is driven twice, each time by an evaluator and on a simulator of its own, so that no
drive depends on those before. Bench2Drive starts and ends the simulator itself, by the stand-in for
CARLA's launcher.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from agent.entry.files import EntryFiles
from sim.client.local_server import LocalServer, find_free_port_pair
from sim.pocket.carla_launcher import write_launcher
from sim.pocket.map_store import CARLA_MAP_FOLDER, MapStore
from studies.evaluator_runs import (
    FILES,
    PATIENCE_S,
    Ports,
    Sources,
    complaints_in,
    evaluator_environment,
    read_records,
    run_leaderboard,
    run_program,
)

_BENCH2DRIVE_ROUTES = Path("leaderboard/data/bench2drive220.xml")
#: What may differ between two equal runs: wall times, and names that hold the time of day.
_VOLATILE_META = "duration_system"
_VOLATILE = "save_name"
#: Not counted as an infraction by Bench2Drive, either (`tools/merge_route_json.py`).
_MINOR = "min_speed_infractions"

ENTRY_HEADER = (
    "evaluator", "route", "town", "scenarios", "outcome", "route %", "score", "infractions",
    "simulated s", "wall s", "second run",
)  # fmt: skip
SCENARIO_HEADER = (
    "evaluator", "scenarios", "routes", "route %", "score", "simulated s a route",
    "wall s a route", "equal twice",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenRoute:
    """One route that was driven twice.

    Attributes:
        evaluator: Who judged.
        route: The id.
        town: Where.
        scenarios: Their types.
        record: The evaluator's record of the first run.
        equal: Whether that of the second run says the same but for wall times.
    """

    evaluator: str
    route: str
    town: str
    scenarios: tuple[str, ...]
    record: dict[str, Any]
    equal: bool

    @property
    def driven(self) -> bool:
        """Whether the drive itself ended the route, and nothing crashed."""
        status = self.record["status"]
        return not any(word in status for word in ("crashed", "couldn't", "Started"))

    def entry(self) -> tuple[str, ...]:
        """Return a line of the record, see `ENTRY_HEADER`."""
        infractions = [
            f"{len(found)} {name}"
            for name, found in self.record["infractions"].items()
            if found and name != _MINOR
        ]
        scores, meta = self.record["scores"], self.record["meta"]
        return (
            self.evaluator,
            self.route,
            self.town,
            " ".join(self.scenarios) or "none",
            self.record["status"],
            f"{scores['score_route']:.0f}",
            f"{scores['score_composed']:.1f}",
            "; ".join(infractions) or "none",
            f"{meta['duration_game']:.1f}",
            f"{meta['duration_system']:.0f}",
            "equal" if self.equal else "differs",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrySetup:
    """What is needed to run the evaluators.

    Attributes:
        sources: The checkouts of the leaderboard.
        bench2drive: A checkout of Bench2Drive; where there is none it is left out.
        maps: Folders with towns.
        files: The entry.
    """

    sources: Sources
    bench2drive: Path
    maps: tuple[Path, ...]
    files: EntryFiles

    @property
    def agent(self) -> tuple[str, ...]:
        """The arguments that name the entry."""
        agent, config = (str(path.absolute()) for path in self.files)
        return "--agent", agent, "--agent-config", config


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluation:
    """An evaluator with a file of routes, and how to run it on the id of one of them."""

    name: str
    routes: Path
    run: Callable[[EntrySetup, Path, Path, str], list[dict[str, Any]]]


def drive_entry(setup: EntrySetup, folder: Path, *, quick: bool) -> Iterator[DrivenRoute]:
    """Drive every route whose town is here, twice, and yield it then.

    Args:
        setup: The evaluators and the entry.
        folder: For logs and results.
        quick: One file of routes only.
    """
    town10 = setup.sources.scenario_runner / "srunner/data/routes_town10.xml"
    evaluations = [
        _Evaluation(name="leaderboard 2.1", routes=routes, run=_run_leaderboard)
        for routes in (FILES / "routes_town01.xml", town10)
    ]
    routes = setup.bench2drive / _BENCH2DRIVE_ROUTES
    if routes.is_file():
        evaluations.append(_Evaluation(name="Bench2Drive", routes=routes, run=_run_bench2drive))
    else:
        print(f"Bench2Drive is left out: {setup.bench2drive} holds no checkout of it")
    for evaluation in evaluations[: 1 if quick else None]:
        yield from _drive_twice(setup, evaluation, folder)


def _drive_twice(setup: EntrySetup, evaluation: _Evaluation, folder: Path) -> Iterator[DrivenRoute]:
    towns = MapStore(setup.maps).names()
    routes = {
        route.get("id", ""): route
        # The evaluator's own file.
        for route in ElementTree.parse(evaluation.routes).iter("route")  # noqa: S314
    }
    here = [key for key, route in routes.items() if _town(route) in towns]
    print(f"{evaluation.name}: {len(here)} of {len(routes)} routes lie in towns that are here")
    for key in here:
        records: list[dict[str, Any]] = []
        for number in (1, 2):
            name = f"{evaluation.name} {evaluation.routes.stem} {key} {number}"
            own = folder / name.replace(" ", "_")
            own.mkdir(parents=True, exist_ok=True)
            print(f"  route {key}, run {number} ...", flush=True)
            records += evaluation.run(setup, evaluation.routes, own, key)
        if not records:
            continue
        yield DrivenRoute(
            evaluator=evaluation.name,
            route=key,
            town=_town(routes[key]),
            scenarios=tuple(str(one.get("type")) for one in routes[key].iter("scenario")),
            record=records[0],
            equal=len(records) == 2 and _lasting(records[0]) == _lasting(records[1]),
        )


def _town(route: ElementTree.Element) -> str:
    return str(route.get("town")).removesuffix("_Opt")


def _lasting(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without what differs between two equal runs."""
    lasting = copy.deepcopy(record)
    lasting.pop(_VOLATILE, None)
    lasting["meta"].pop(_VOLATILE_META, None)
    return lasting


def _run_leaderboard(
    setup: EntrySetup, routes: Path, folder: Path, key: str
) -> list[dict[str, Any]]:
    with LocalServer(seed=0, map_folders=setup.maps) as server:
        ports = Ports(simulator=server.port, traffic_manager=find_free_port_pair())
        chosen = ("--routes", str(routes), *setup.agent)
        own = folder.absolute()
        records, log, code = run_leaderboard(setup.sources, ports, own, chosen, key)
    _say_what_went_wrong(log, code)
    return records


def _run_bench2drive(
    setup: EntrySetup, routes: Path, folder: Path, key: str
) -> list[dict[str, Any]]:
    own = folder.absolute()
    root = own / "carla"
    write_launcher(root)
    for town in (town for one in setup.maps for town in one.rglob("*.xodr")):
        link = root / CARLA_MAP_FOLDER / town.name
        link.unlink(missing_ok=True)
        link.symlink_to(town.absolute())
    bench2drive = setup.bench2drive
    environment = evaluator_environment(
        setup.sources, bench2drive / "scenario_runner", bench2drive / "leaderboard"
    )
    environment |= {"CARLA_ROOT": str(root), "IS_BENCH2DRIVE": "True"}
    checkpoint = own / "results.json"
    command = [
        *(str(setup.sources.python), "leaderboard/leaderboard/leaderboard_evaluator.py"),
        *("--track=SENSORS", "--routes", str(routes), *setup.agent),
        *("--routes-subset", key, "--repetitions", "1", "--gpu-rank", "0"),
        *("--checkpoint", str(checkpoint), "--debug-checkpoint", str(own / "live.txt")),
        *("--debug", "0", "--timeout", str(PATIENCE_S), "--port", str(find_free_port_pair())),
        *("--traffic-manager-port", str(find_free_port_pair())),
    ]
    log, code = run_program(command, bench2drive, environment, own / "log.txt")
    _say_what_went_wrong(log, code)
    return read_records(checkpoint)


def _say_what_went_wrong(log: str, code: int | None) -> None:
    complaints = complaints_in(log)
    if code != 0 or complaints:
        print(f"  ended with {code}; {'; '.join(complaints) or 'no complaints'}")


def scenario_rows(driven: Sequence[DrivenRoute]) -> list[tuple[str, ...]]:
    """Return a line per evaluator and type of scenario, see `SCENARIO_HEADER`."""
    groups: dict[tuple[str, str], list[DrivenRoute]] = {}
    for one in driven:
        kinds = " ".join(dict.fromkeys(one.scenarios)) or "none"
        groups.setdefault((one.evaluator, kinds), []).append(one)
    rows: list[tuple[str, ...]] = []
    for (evaluator, scenarios), routes in sorted(groups.items()):
        scores = [one.record["scores"] for one in routes]
        rows.append(
            (
                evaluator,
                scenarios,
                f"{len(routes)}",
                f"{fmean(one['score_route'] for one in scores):.0f}",
                f"{fmean(one['score_composed'] for one in scores):.1f}",
                f"{fmean(one.record['meta']['duration_game'] for one in routes):.1f}",
                f"{fmean(one.record['meta']['duration_system'] for one in routes):.0f}",
                f"{sum(one.equal for one in routes)}",
            )
        )
    return rows
