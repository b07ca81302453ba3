"""Evaluations repeat, resume, run in parallel and survive what kills a simulator."""

import json
import textwrap
from dataclasses import fields, replace

import numpy as np
import pytest

from bicameral.errors import ConfigError
from bicameral.types import Route
from sim.client.simulator import ServerChoice
from sim.client.traffic import TrafficDensity
from sim.client.weather import Weather
from sim.evaluation.agents import AgentSpec
from sim.evaluation.limits import Status
from sim.evaluation.plan import EvaluationPlan
from sim.evaluation.records import VOLATILE_COLUMNS, VOLATILE_FIELDS
from sim.evaluation.results import write_results
from sim.evaluation.runner import Execution, evaluate
from sim.metrics.episode import VOLATILE_METRICS
from sim.pocket.map_store import MapStore
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes
from sim.routes.weathers import RouteWeather

#: Several simulators start here, one after the other, perhaps on a busy machine.
pytestmark = pytest.mark.timeout(600)

AGENTS = """
    import os, signal, zlib
    from dataclasses import replace
    from pathlib import Path

    from agent.expert import ExpertAgent
    from bicameral.types import AGENT_CAMERA


    class Watching(ExpertAgent):
        '''The expert, that also looks: every pixel reaches its diagnostics.'''

        camera = AGENT_CAMERA

        def act(self, observation):
            seen = zlib.crc32(observation.image.tobytes()) % 2**20
            told = {"image_crc": float(seen), "brightness": float(observation.image.mean())}
            return replace(super().act(observation), diagnostics=told)


    class Once(ExpertAgent):
        '''The expert, that does something terrible at its 20th tick, the first time only.'''

        def __init__(self, flag):
            super().__init__()
            self._flag = Path(flag)
            self._ticks = 0

        def act(self, observation):
            self._ticks += 1
            if self._ticks == 20 and not self._flag.exists():
                self._flag.touch()
                self.terrible()
            return super().act(observation)


    class KillsSimulator(Once):
        def terrible(self):
            for task in Path(f"/proc/{os.getpid()}/task").iterdir():
                for child in (task / "children").read_text().split():
                    if b"sim.client.guarded_pocket" in Path(f"/proc/{child}/cmdline").read_bytes():
                        os.kill(int(child), signal.SIGKILL)


    class KillsWorker(Once):
        def terrible(self):
            os.kill(os.getpid(), signal.SIGKILL)


    class Fails(Once):
        def terrible(self):
            raise RuntimeError("no idea where to go")
"""


@pytest.fixture(scope="module")
def routes():
    planner = RoutePlanner(MapStore().load("Harbour").carla_map, "Harbour")
    request = RouteRequest(kind="right", count=2, seed=5, min_length_m=120.0, max_length_m=200.0)
    return tuple(cut(route, 45.0) for route in sample_routes(planner, request))


def cut(route, length_m):
    keep = route.s_m <= length_m
    arrays = {
        entry.name: getattr(route, entry.name)[keep]
        for entry in fields(Route)
        if entry.name not in ("name", "town", "kind")
    }
    return replace(route, **arrays)


@pytest.fixture
def agents(tmp_path, monkeypatch):
    folder = tmp_path / "agents"
    folder.mkdir()
    (folder / "agents_of_this_test.py").write_text(textwrap.dedent(AGENTS))
    monkeypatch.syspath_prepend(folder)

    def spec(kind, **kwargs):
        return AgentSpec(
            name=kind.lower(),
            correction="none",
            target=f"agents_of_this_test:{kind}",
            kwargs=kwargs,
        )

    return spec


#: Needs no pictures, and so no scenery.
EXPERT = AgentSpec(name="expert", correction="none", target="agent.expert:ExpertAgent")


def plan_for(routes, *agents, **changes):
    return EvaluationPlan(routes=routes, agents=agents, **changes)


def run(plan, folder, on_progress=None, timeout_s=120.0, **changes):
    server = ServerChoice(timeout_s=timeout_s)
    return evaluate(plan, folder, Execution(server=server, **changes), on_progress)


def content(folder):
    """Everything that an evaluation stored, without the documented volatile fields."""
    found = {"plan": json.loads((folder / "plan.json").read_text())}
    for path in sorted((folder / "episodes").iterdir()):
        entry = json.loads((path / "episode.json").read_text())
        found[path.name] = {k: v for k, v in entry.items() if k not in VOLATILE_FIELDS}
        with np.load(path / "trajectory.npz") as stored:
            for name in stored.files:
                if name not in VOLATILE_COLUMNS:
                    found[f"{path.name}/{name}"] = stored[name].tobytes()
    write_results(folder)
    results = json.loads((folder / "results.json").read_text())
    for record in [results["_checkpoint"]["global_record"], *results["_checkpoint"]["records"]]:
        del record["meta"]["duration_system"]
    ours = results["bicameral"]
    del ours["created_at"], ours["host"]
    for table in (*ours["groups"], *ours["paired"], *ours["episodes"]):
        for name in VOLATILE_METRICS:
            table.get("metrics", table.get("differences", {})).pop(name, None)
        for name in VOLATILE_FIELDS:
            table.pop(name, None)
    return found | {"results": results}


class KilledError(Exception):
    pass


def kill_after_first(progress):
    raise KilledError


def test_a_killed_a_parallel_and_an_uninterrupted_run_are_equal(routes, agents, tmp_path):
    plan = plan_for(routes, agents("Watching"), weathers=("night",))
    run(plan, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(plan, tmp_path / "killed", kill_after_first)
    assert len(list((tmp_path / "killed" / "episodes").glob("[!.]*"))) == 1
    (tmp_path / "killed" / "episodes" / ".half-written").mkdir()
    run(plan, tmp_path / "killed", resume=True)
    run(plan, tmp_path / "parallel", jobs=2)
    whole = content(tmp_path / "whole")
    assert [k for k in whole if k.endswith("image_crc")]
    assert whole["results"]["bicameral"]["groups"][0]["success"]["value"] == 1.0
    assert content(tmp_path / "killed") == whole
    assert content(tmp_path / "parallel") == whole


def test_all_agents_meet_the_same_patch_and_it_is_recorded(routes, agents, tmp_path):
    other = replace(agents("Watching"), name="other")
    plan = plan_for(routes[:1], agents("Watching"), other, weathers=("clear", "patch"))
    clear, _, patched, patched_too = run(plan, tmp_path / "run")
    seen = [r.trajectory.diagnostics["image_crc"] for r in (clear, patched, patched_too)]
    assert (seen[1] == seen[2]).all()
    assert (seen[0] != seen[1]).all(), "the agent saw the whole picture"
    assert clear.camera_fault == {}
    assert patched.camera_fault == patched_too.camera_fault
    assert patched.camera_fault["patch"]["width"] == 120 / 320


def test_the_weather_of_a_routes_file_changes_on_the_way(routes, agents, tmp_path):
    sky = tuple(
        RouteWeather(percentage=percentage, weather=Weather(sun_altitude_angle=altitude_deg))
        for percentage, altitude_deg in ((0.0, 60.0), (60.0, -90.0))
    )
    (route,) = routes[:1]
    plan = plan_for(
        (route,),
        agents("Watching"),
        weathers=("route",),
        skies={route.name: sky},
        dropped_scenarios={route.name: ("Accident",)},
    )
    (record,) = run(plan, tmp_path / "run")
    assert record.weather == "route"
    assert record.weather_parameters["sun_altitude_angle"] == 60.0
    brightness = record.trajectory.diagnostics["brightness"]
    assert brightness[-1] < 0.5 * brightness[0]
    results = content(tmp_path / "run")["results"]
    assert results["_checkpoint"]["records"][0]["status"] == "Completed"
    assert results["bicameral"]["plan"]["routes"][0]["dropped_scenarios"] == ["Accident"]


def test_a_finished_run_is_neither_repeated_nor_mixed_with_another(routes, tmp_path):
    plan = plan_for(routes[:1], EXPERT, reference=EXPERT)
    calls = []
    run(plan, tmp_path / "run", calls.append)
    assert [(p.done, p.total) for p in calls] == [(1, 2), (2, 2)]
    with pytest.raises(ConfigError, match="--resume"):
        run(plan, tmp_path / "run")
    with pytest.raises(ConfigError, match="other seed"):
        run(replace(plan, seed=1), tmp_path / "run", resume=True)
    run(plan, tmp_path / "run", calls.append, resume=True)
    assert len(calls) == 2


@pytest.mark.parametrize("others", [TrafficDensity(), TrafficDensity(vehicles=3, walkers=2)])
def test_an_episode_that_lost_its_simulator_is_repeated_and_marked(
    routes, agents, tmp_path, others
):
    agent = agents("KillsSimulator", flag=str(tmp_path / "flag"))
    plan = plan_for(routes[:1], agent, traffic=others)
    (record,) = run(plan, tmp_path / "run", timeout_s=20.0)
    assert (record.status, record.restarts) == (Status.COMPLETED, 1)


def test_an_episode_whose_worker_died_is_repeated_and_marked(routes, agents, tmp_path):
    plan = plan_for(routes, agents("KillsWorker", flag=str(tmp_path / "flag")))
    records = run(plan, tmp_path / "run", jobs=2)
    assert [record.status for record in records] == [Status.COMPLETED] * 2
    assert sorted(record.restarts for record in records)[-1] == 1
    assert [p.name for p in (tmp_path / "run" / "episodes").glob(".*")] == []


def test_an_agent_that_fails_is_recorded_and_the_others_drive_on(routes, agents, tmp_path):
    plan = plan_for(routes, agents("Fails", flag=str(tmp_path / "flag")))
    first, second = run(plan, tmp_path / "run")
    assert (first.status, first.message) == (
        Status.AGENT_CRASHED,
        "RuntimeError: no idea where to go",
    )
    assert len(first.trajectory) == 19
    assert second.status is Status.COMPLETED
    assert not list((tmp_path / "run" / "episodes").glob(".*"))


def test_another_server_runs_one_episode_at_a_time(routes, tmp_path):
    execution = Execution(server=ServerChoice(host="localhost", port=2000), jobs=2)
    with pytest.raises(ConfigError, match="--jobs 1"):
        evaluate(plan_for(routes, EXPERT), tmp_path / "run", execution)


def test_the_same_others_drive_and_walk_again_whatever_was_driven_before(routes, tmp_path):
    crowd = TrafficDensity(vehicles=5, walkers=3)
    both = plan_for(routes, EXPERT, traffic=crowd)
    first, second = run(both, tmp_path / "both")
    (again,) = run(replace(both, routes=routes[1:]), tmp_path / "one")
    assert (first.vehicles, first.walkers) == (5, 3)
    for name, column in second.trajectory.columns().items():
        if name not in VOLATILE_COLUMNS:
            assert column.tobytes() == again.trajectory.columns()[name].tobytes(), name
    assert second.others.tobytes() == again.others.tobytes()
    moved_m = np.abs(first.others[-1] - first.others[0]).max(axis=1)
    assert (moved_m > 0.5).sum() >= 5
    start = np.array([first.trajectory.x_m[0], first.trajectory.y_m[0]])
    assert np.hypot(*(first.others[0, :, :2] - start).T).min() > 5.0
