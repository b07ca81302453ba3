"""Runs of the official evaluators: programs of others, in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bicameral.errors import UserError

#: Our own files that the evaluators load.
FILES = Path(__file__).parent / "evaluators"
#: Of one program.
_TIMEOUT_S = 3600.0
#: The sources' first calls wait for kernels that are compiled once.
PATIENCE_S = 120
#: What a program says when something was not there, refused or late.
_COMPLAINT = re.compile(r"^\s*(\w*(?:Error|Exception|NoData)\b.*|.*Skipping scenario.*)$")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MOST_COMPLAINTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the evaluators' public sources lie, and who runs them.

    Attributes:
        scenario_runner: A checkout of scenario_runner 0.9.16.
        leaderboard: A checkout of leaderboard 2.1.
        leaderboard_scenarios: The scenario_runner that this leaderboard was published with.
        agents: The folder `PythonAPI/carla` of CARLA 0.9.16, whose package `agents` they import.
        python: An interpreter with what they require.
    """

    scenario_runner: Path
    leaderboard: Path
    leaderboard_scenarios: Path
    agents: Path
    python: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of one run: the simulator's and that of the evaluator's Traffic Manager."""

    simulator: int
    traffic_manager: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run.

    Attributes:
        completed: The evaluator's own verdict: success, or a completed route, without an error.
        verdict: In its words.
        game_s: Simulated time.
        missing: Failed criteria, errors, and scenarios that could not be set up.
        note: What the run says of itself.
    """

    completed: bool
    verdict: str
    game_s: float
    missing: tuple[str, ...]
    note: str = ""


def find_sources(folder: Path, python: Path) -> Sources:
    """Look for the checkouts in a folder.

    Raises:
        UserError: If one is not there.
    """
    scenario_runner, leaderboard = folder / "scenario_runner", folder / "leaderboard"
    matching = folder / "scenario_runner_leaderboard"
    sources = Sources(
        scenario_runner=scenario_runner,
        leaderboard=leaderboard,
        leaderboard_scenarios=matching if matching.is_dir() else scenario_runner,
        agents=folder / "carla/PythonAPI/carla",
        python=python,
    )
    for needed in (
        sources.scenario_runner / "scenario_runner.py",
        sources.leaderboard / "leaderboard/leaderboard_evaluator.py",
        sources.agents / "agents/navigation/global_route_planner.py",
        python,
    ):
        if not needed.exists():
            raise UserError(
                f"{needed} is not there; docs/official-evaluators.md says what SOURCES holds"
            )
    return sources


def run_scenario(sources: Sources, ports: Ports, folder: Path, chosen: Sequence[str]) -> Outcome:
    """Run one scenario of scenario_runner, its ego driven by its own Traffic Manager.

    Args:
        sources: The checkouts.
        ports: Where the simulator listens, and a free port.
        folder: For the result and the log.
        chosen: The arguments that name the scenario.
    """
    environment = evaluator_environment(sources, sources.scenario_runner)
    command = [
        *(str(sources.python), "scenario_runner.py", *chosen),
        *("--reloadWorld", "--sync", "--output", "--json", "--outputDir", str(folder)),
        *("--timeout", str(PATIENCE_S), "--port", str(ports.simulator)),
        *("--trafficManagerPort", str(ports.traffic_manager)),
    ]
    with _hero_autopilot(ports):
        log, code = run_program(command, sources.scenario_runner, environment, folder / "log.txt")
    results = sorted(folder.glob("*.json"))
    complaints = complaints_in(log)
    if not results:
        return Outcome(
            completed=False, verdict=f"ended with {code}", game_s=0.0, missing=complaints
        )
    found = json.loads(results[-1].read_text())
    failed = [
        f"{one['name']} is {one['actual']:g}, not {one['expected']:g}"
        for one in found["criteria"]
        if not one["success"]
    ]
    (game_s,) = (one["actual"] for one in found["criteria"] if one["name"] == "Duration")
    success = bool(found["success"])
    return Outcome(
        completed=success and not complaints,
        verdict="success" if success else "failure",
        game_s=game_s,
        missing=(*failed, *complaints),
    )


def run_route(sources: Sources, ports: Ports, folder: Path, routes: Path, route: str) -> Outcome:
    """Run one route of the leaderboard with an agent that has the full suite of sensors.

    Args:
        sources: The checkouts.
        ports: Where the simulator listens, and a free port.
        folder: For the result and the log.
        routes: A file of routes.
        route: The id of the route in it.
    """
    agent = ("--agent", str(FILES / "full_suite_agent.py"), "--agent-config", "")
    records, log, code = run_leaderboard(
        sources, ports, folder, ("--routes", str(routes), *agent), route
    )
    complaints = complaints_in(log)
    if not records:
        return Outcome(
            completed=False, verdict=f"ended with {code}", game_s=0.0, missing=complaints
        )
    record = records[0]
    infractions = [f"{len(found)} {name}" for name, found in record["infractions"].items() if found]
    sensors = re.findall(r"^sensors of .*$", log, re.MULTILINE)
    scores = record["scores"]
    return Outcome(
        completed=record["status"] in ("Completed", "Perfect") and not complaints,
        verdict=f"{record['status']}, route {scores['score_route']:g} %, "
        f"score {scores['score_composed']:g}",
        game_s=record["meta"]["duration_game"],
        missing=(*infractions, *complaints),
        note=sensors[-1] if sensors else "",
    )


def run_leaderboard(
    sources: Sources, ports: Ports, folder: Path, chosen: Sequence[str], subset: str
) -> tuple[list[dict[str, Any]], str, int | None]:
    """Run routes of leaderboard 2.1.

    Args:
        sources: The checkouts.
        ports: Where the simulator listens, and a free port.
        folder: For the result and the log.
        chosen: The arguments that name the routes' file and the agent.
        subset: The ids of the routes.

    Returns:
        The record of every route, what was printed, and the exit code.
    """
    environment = evaluator_environment(sources, sources.leaderboard_scenarios, sources.leaderboard)
    checkpoint = folder / "results.json"
    command = [
        *(str(sources.python), "leaderboard/leaderboard_evaluator.py", "--track", "SENSORS"),
        *(*chosen, "--routes-subset", subset, "--repetitions", "1"),
        *("--checkpoint", str(checkpoint), "--debug-checkpoint", str(folder / "live.txt")),
        *("--debug", "0", "--timeout", str(PATIENCE_S), "--port", str(ports.simulator)),
        *("--traffic-manager-port", str(ports.traffic_manager)),
    ]
    log, code = run_program(command, sources.leaderboard, environment, folder / "log.txt")
    return read_records(checkpoint), log, code


def read_records(checkpoint: Path) -> list[dict[str, Any]]:
    """Return the record of every route of a result file; none if there is no such file."""
    try:
        records: list[dict[str, Any]] = json.loads(checkpoint.read_text())["_checkpoint"]["records"]
    except (OSError, KeyError, ValueError):
        return []
    return records


def evaluator_environment(sources: Sources, scenario_runner: Path, *first: Path) -> dict[str, str]:
    """Return the environment in which an evaluator finds its modules, the first folders first."""
    search_path = [FILES, *first, scenario_runner, sources.agents]
    return {
        **os.environ,
        "SCENARIO_RUNNER_ROOT": str(scenario_runner),
        "LEADERBOARD_ROOT": str(sources.leaderboard),
        "PYTHONPATH": os.pathsep.join(map(str, search_path)),
        "PYTHONUNBUFFERED": "1",
        # It imports pygame, which would look for a screen.
        "SDL_VIDEODRIVER": "dummy",
    }


def run_program(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> tuple[str, int | None]:
    """Run a program to its end; return what it printed, and its exit code, None if it hangs."""
    with log.open("wb") as file:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_S,
                check=False,
            )
            code: int | None = done.returncode
        except subprocess.TimeoutExpired:
            code = None
    return _COLOURS.sub("", log.read_text(errors="replace")), code


@contextlib.contextmanager
def _hero_autopilot(ports: Ports) -> Iterator[None]:
    script = FILES / "hero_autopilot.py"
    driver = subprocess.Popen(
        [sys.executable, str(script), str(ports.simulator), str(ports.traffic_manager)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        driver.kill()
        driver.wait()


def complaints_in(log: str) -> tuple[str, ...]:
    """Return what a program said of things that were not there, refused or late."""
    found = dict.fromkeys(
        match[1].strip() for line in log.splitlines() if (match := _COMPLAINT.match(line))
    )
    return tuple(found)[:_MOST_COMPLAINTS]
