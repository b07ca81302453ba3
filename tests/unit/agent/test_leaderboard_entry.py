"""The entry for the leaderboard: a place from noisy sensors, a route from few points, a driver."""

from __future__ import annotations

import importlib.util
import json
import math
import random
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.entry.driver import EntryConfig, EntryDriver, read_config
from agent.entry.files import write_entry
from agent.entry.navigator import BendCaution, PlanNavigator
from agent.entry.plan import PlannedRoute, route_from_plan
from agent.entry.positioning import GeoFrame, Positioning
from agent.network_agent import RouteDriver
from agent.pace import PaceKeeper, PaceSettings
from agent.path.opinions import FusedPath
from bicameral.cli.app import app
from bicameral.errors import ConfigError, DataError
from bicameral.simulation import TICK_S
from bicameral.types import Pose, RoadOption
from edge.shipped import shipped_models
from tests.pace_network import replayed_pace_model
from tests.path_network import DISTANCES_M, write_path_network

pytestmark = pytest.mark.unit

FOLLOW, LEFT, RIGHT = int(RoadOption.LANE_FOLLOW), int(RoadOption.LEFT), int(RoadOption.RIGHT)
NOISE_DEG = 5e-6


def degrees(x_m: float, y_m: float, reference_deg: float = 0.0) -> tuple[float, float]:
    """The leaderboard's formula: a place on a map whose origin lies on a latitude."""
    radius_m = 6378137.0 * math.cos(math.radians(reference_deg))
    north = radius_m * math.log(math.tan(math.pi / 4 + math.radians(reference_deg) / 2)) - y_m
    latitude = 2.0 * math.degrees(math.atan(math.exp(north / radius_m))) - 90.0
    return latitude, math.degrees(x_m / radius_m)


def drive(
    start_m: tuple[float, float], yaw_rad: float, *, mirrored: bool, ticks: int = 400
) -> list[float]:
    """Drive straight on at 8 m/s; return how far off each believed position is."""
    rng = np.random.default_rng(0)
    positioning = Positioning(GeoFrame(*degrees(*start_m)))
    errors = []
    for tick in range(ticks):
        way_m = 8.0 * TICK_S * (tick + 1)
        x_m, y_m = start_m[0] + way_m * math.cos(yaw_rad), start_m[1] + way_m * math.sin(yaw_rad)
        fix = np.array(degrees(x_m, y_m)) * ((-1.0, 1.0) if mirrored else (1.0, 1.0))
        fix += NOISE_DEG * rng.standard_normal(2)
        pose = positioning.update(fix.tolist(), yaw_rad + math.pi / 2.0, 8.0)
        assert pose.yaw_rad == pytest.approx(yaw_rad)
        errors.append(math.dist((pose.x_m, pose.y_m), (x_m - start_m[0], y_m - start_m[1])))
    return errors


@pytest.mark.parametrize("reference_deg", [0.0, 42.0, -33.0])
def test_degrees_become_the_metres_that_the_leaderboard_made_them_from(reference_deg):
    frame = GeoFrame(*degrees(120.0, -80.0, reference_deg))
    x_m, y_m = frame.metres(*degrees(420.0, 130.0, reference_deg))
    assert (x_m, y_m) == pytest.approx((300.0, 210.0), abs=0.02)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("start_m", [(100.0, 133.0), (-40.0, 0.0), (5.0, -0.2)])
@pytest.mark.parametrize("yaw_rad", [0.0, 1.6, -2.5])
def test_a_place_is_known_to_some_decimetres_whatever_sign_latitudes_have(
    mirrored, start_m, yaw_rad
):
    errors = drive(start_m, yaw_rad, mirrored=mirrored)
    assert np.mean(errors) < 0.2
    assert max(errors) < 0.6


def test_a_compass_without_a_number_keeps_the_last_heading():
    positioning = Positioning(GeoFrame(0.0, 0.0))
    told = positioning.update((0.0, 0.0), 1.0, 5.0)
    assert positioning.update((0.0, 0.0), math.nan, 5.0).yaw_rad == told.yaw_rad


def crossing() -> PlannedRoute:
    """Straight on for 60 m, 90 degrees right with a radius of 12 m, straight on for 80 m."""
    points = [(0.0, 0.0), (60.0, 0.0), (72.0, 12.0), (72.0, 92.0)]
    return route_from_plan(np.array(points), [FOLLOW, RIGHT, FOLLOW, FOLLOW], 8.0)


def test_few_points_give_a_turn_that_leaves_and_meets_the_roads_straight():
    route = crossing().route
    x_m, y_m = route.xyz_m[:, 0], route.xyz_m[:, 1]
    turn = (x_m > 60.0) & (y_m < 12.0)
    radius_m = np.hypot(x_m[turn] - 60.0, y_m[turn] - 12.0)
    assert np.allclose(radius_m, 12.0, atol=0.1)
    assert np.allclose(y_m[x_m < 59.0], 0.0, atol=0.05)
    assert np.allclose(x_m[y_m > 13.0], 72.0, atol=0.05)
    assert route.target_speed_mps[turn].min() < 6.0 < route.target_speed_mps[5]
    assert np.all(np.diff(route.s_m) > 0.5)


def test_a_turn_is_announced_before_the_junction_and_ends_with_it():
    route = crossing().route
    turning = route.s_m[route.command == RoadOption.RIGHT]
    assert turning[0] == pytest.approx(45.0, abs=1.0)
    assert turning[-1] == pytest.approx(60.0 + 6.0 * math.pi, abs=1.5)
    assert set(route.command.tolist()) == {FOLLOW, RIGHT}


def test_the_guess_is_sure_at_the_points_of_the_plan_and_nowhere_else():
    planned = crossing()
    end = np.abs(planned.route.s_m - (60.0 + 6.0 * math.pi + 80.0)).argmin()
    assert planned.guess_m[0] == 0.0
    assert planned.guess_m[end] == pytest.approx(0.0, abs=0.1)
    middle = np.abs(planned.route.s_m - 30.0).argmin()
    assert planned.guess_m[middle] == pytest.approx(4.5, abs=0.2)
    dense = route_from_plan(np.column_stack([np.arange(50.0), np.zeros(50)]), [FOLLOW] * 50, 8.0)
    assert dense.guess_m[:50].max() < 0.15


def test_whoever_creeps_to_the_end_of_the_plan_drives_on_over_it():
    planned = route_from_plan(np.array([(0.0, 0.0), (20.0, 0.0)]), [FOLLOW, FOLLOW], 8.0)
    navigator = PlanNavigator(planned)
    navigator.begin(planned.route, seed=0)
    driver = RouteDriver(delay_ticks=0)
    driver.begin(planned.route)
    for x_m in (17.0, 19.5, 20.0, 22.0):  # the evaluator says where the route ends
        pose = Pose(x_m=x_m, y_m=0.0)
        driver.update(pose)
        assert driver.control(speed_mps=0.3, steer=0.0, speed_factor=1.0).throttle > 0.0
        navigator.update(pose)
        told = navigator.path(np.array([5.0, 10.0]))
        assert told.offsets_m == pytest.approx(0.0, abs=0.05)
        assert (np.diff(told.std_m) > 0.0).all()  # beyond the plan it is a guess


def test_points_that_repeat_and_options_that_nobody_knows_do_no_harm():
    points = np.array([(0.0, 0.0), (10.0, 0.0), (10.0, 0.1), (20.0, 0.0), (20.0, 0.0)])
    route = route_from_plan(points, [-1, FOLLOW, LEFT, FOLLOW, 7], 8.0).route
    assert np.diff(route.s_m) == pytest.approx(1.0, abs=0.05)
    assert route.command[0] == FOLLOW or route.command[0] == LEFT
    assert route.command[-1] == FOLLOW
    assert np.isfinite(route.xyz_m).all()


@pytest.mark.parametrize("points", [[], [(1.0, 1.0)], [(1.0, 1.0), (1.2, 1.0)]])
def test_a_plan_that_leads_nowhere_is_named(points):
    with pytest.raises(DataError, match="different points, expected two or more"):
        route_from_plan(np.array(points).reshape(-1, 2), [FOLLOW] * len(points), 8.0)


def test_the_plans_path_is_as_sure_as_its_points_are_near():
    planned = crossing()
    navigator = PlanNavigator(planned)
    navigator.begin(planned.route, seed=0)
    at_m = np.array(DISTANCES_M)
    navigator.update(Pose(x_m=0.0, y_m=0.5))
    told = navigator.path(at_m)
    assert told.offsets_m == pytest.approx(np.full(5, -0.5), abs=0.01)
    assert told.std_m == pytest.approx(np.hypot(0.3, 0.15 * at_m), abs=0.02)
    assert navigator.target_mps == pytest.approx(8.0)


class Bend:
    """A rule that sees a circle."""

    name = "bend"

    def __init__(self, radius_m: float) -> None:
        self.radius_m = radius_m

    def begin(self, seed: int) -> None:
        del seed

    def fuse(self, opinions: Any) -> FusedPath:
        offsets = opinions.distances_m**2 / (2.0 * self.radius_m)
        return FusedPath(offsets_m=offsets, std_m=np.ones(5), branch="bend")


@pytest.mark.parametrize(
    ("radius_m", "speed_mps"), [(10.0, math.sqrt(23.0)), (1e6, 8.0), (math.inf, 8.0)]
)
def test_a_bend_that_only_the_camera_knows_slows_down(radius_m, speed_mps):
    planned = route_from_plan(np.array([(0.0, 0.0), (150.0, 0.0)]), [FOLLOW, FOLLOW], 8.0)
    navigator = PlanNavigator(planned)
    navigator.begin(planned.route, seed=0)
    navigator.update(Pose(x_m=20.0, y_m=0.0))
    rule = BendCaution(Bend(radius_m), navigator)
    rule.begin(0)
    fused = rule.fuse(SimpleNamespace(distances_m=np.array(DISTANCES_M)))  # type: ignore[arg-type]
    assert rule.name == "bend"
    assert min(fused.speed_factor, 1.0) * navigator.target_mps == pytest.approx(speed_mps)


def test_bench2drives_argument_names_the_file_before_its_plus_signs(tmp_path):
    path = tmp_path / "a+b.json"
    path.write_text(json.dumps({"speed_limit_kmh": 40.0}))
    # Of 220 routes it is longer than any name of a file may be.
    many = "+RouteScenario_24211_rep0_Town01_DynamicObjectCrossing_1_15" * 220
    for argument in (f"{path}", f"{path}+RouteScenario_1_rep0", f"{path}{many}"):
        assert read_config(argument).speed_limit_kmh == 40.0
    assert read_config("") == read_config("+RouteScenario_1_rep0") == EntryConfig()
    with pytest.raises(ConfigError, match="no configuration file"):
        read_config(str(tmp_path / "missing.json") + "+a" * 3000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"modell": "path_a"}', "modell"),
        ('{"speed_limit_kmh": 0}', "speed_limit_kmh"),
        ("{", "the file"),
        ('{"correction": "sure"}', "correction"),
    ],
)
def test_a_configuration_that_says_something_else_is_refused_by_name(text, reason, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_config(str(path))


class Option(Enum):
    """As CARLA's planner has it."""

    LANEFOLLOW = FOLLOW
    RIGHT = RIGHT


def load_agent_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the file as the leaderboard does, in its place a module with what the file needs."""
    names = ("leaderboard", "leaderboard.autoagents", "leaderboard.autoagents.autonomous_agent")
    modules = {name: ModuleType(name) for name in names}
    modules[names[-1]].__dict__.update(
        AutonomousAgent=type("AutonomousAgent", (), {}), Track=SimpleNamespace(SENSORS="SENSORS")
    )
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("bicameral_agent", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return getattr(loaded, loaded.get_entry_point())


def sensor_data(tick: int) -> dict[str, tuple[int, Any]]:
    """What the leaderboard hands over; the car stands."""
    return {
        "camera": (tick, np.full((160, 320, 4), 90, np.uint8)),
        "pace": (tick, np.full((160, 320, 4), 90, np.uint8)),
        "gnss": (tick, np.array([*degrees(100.0, 50.0), 0.0])),
        "imu": (tick, np.array([0.0, 0.0, 9.81, 0.0, 0.0, 0.0, math.pi / 2.0])),
        "speed": (tick, {"speed": 0.0}),
    }


def test_the_agent_file_drives_as_the_leaderboard_asks(tmp_path, monkeypatch, capsys):
    app(["leaderboard-entry", str(tmp_path / "entry")])
    printed = capsys.readouterr().out
    files = write_entry(tmp_path / "entry")
    assert f"--agent {files.agent}" in printed
    assert f"--agent-config {files.config}" in printed
    network = write_path_network(tmp_path, "seen")
    files.config.write_text(json.dumps({"model": str(network), "second": None, "pace": None}))
    assert json.loads(write_entry(tmp_path / "entry").config.read_text())["second"] is None
    agent = load_agent_file(files.agent, monkeypatch)()
    drawn = [random.random(), np.random.rand()]  # noqa: NPY002 - what the evaluators call
    load_agent_file(files.agent, monkeypatch)
    assert [random.random(), np.random.rand()] == drawn  # noqa: NPY002
    agent.destroy()  # the leaderboard does so, too, when the set-up fails
    agent.setup(f"{files.config}+RouteScenario_1_rep0")
    assert agent.track == "SENSORS"
    for sensor in agent.sensors():
        assert math.dist((0, 0, 0), [sensor.get(axis, 0.0) for axis in "xyz"]) <= 3.0
    agent._global_plan = [
        ({"lat": latitude, "lon": longitude, "z": 0.0}, option)
        for (latitude, longitude), option in (
            (degrees(100.0, 50.0), Option.LANEFOLLOW),
            (degrees(160.0, 50.0), Option.RIGHT),
            (degrees(172.0, 62.0), Option.LANEFOLLOW),
        )
    ]
    controls = [agent.run_step(sensor_data(tick), tick * TICK_S) for tick in range(3)]
    assert all(control.throttle > 0.0 and control.brake == 0.0 for control in controls)
    assert all(-1.0 <= control.steer <= 1.0 for control in controls)
    agent.destroy()


def test_the_driver_goes_where_the_plan_leads(tmp_path):
    network = write_path_network(tmp_path, "seen")
    steers = []
    for side_m in (-8.0, 8.0):
        driver = EntryDriver(EntryConfig(model=str(network), second=None, pace=None))
        plan = [
            (*degrees(100.0, 50.0), FOLLOW),
            (*degrees(104.0, 50.0 + side_m / 4.0), FOLLOW),
            (*degrees(108.0, 50.0 + side_m), FOLLOW),
        ]
        steers.append(driver.act(plan, sensor_data(0), 0.0).steer)
        driver.close()
    assert steers[0] < steers[1]


def test_the_driver_has_a_camera_for_the_pace_and_stops_where_that_network_does(
    tmp_path, monkeypatch
):
    model, session = replayed_pace_model()
    keeper = PaceKeeper(model, PaceSettings())
    monkeypatch.setattr("agent.entry.driver.load_pace", lambda settings: keeper)
    driver = EntryDriver(EntryConfig(model=str(write_path_network(tmp_path, "seen")), second=None))
    cameras = [one for one in driver.sensors() if one["type"] == "sensor.camera.rgb"]
    assert [(one["id"], one["fov"]) for one in cameras[1:]] == [
        ("pace", model.agent.camera.fov_deg)
    ]
    plan = [(*degrees(100.0, 50.0), FOLLOW), (*degrees(160.0, 50.0), FOLLOW)]
    assert driver.act(plan, sensor_data(0), 0.0).throttle > 0.0
    session.probabilities = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert driver.act(plan, sensor_data(1), TICK_S).brake > 0.0
    driver.close()


def test_the_entry_drives_at_the_pace_of_a_shipped_network_unless_told_otherwise():
    assert EntryConfig().pace in shipped_models()
