"""The study of corrections on the path: what it drives, what it counts, and what it concludes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import carla
import numpy as np
import pytest

from agent.path.fusion import FusionSettings
from bicameral.errors import DataError
from bicameral.types import RoadOption, Route
from sim.evaluation.limits import Status
from sim.evaluation.records import COLUMNS, EpisodeRecord, Trajectory, write_episode
from sim.pocket.map_store import MapStore
from studies import path_fusion_validation, path_towns
from studies.lane_choice import ends_one_lane_off
from studies.measurements import read_records, write_records
from studies.path_analysis import ALL, Drives, beaten, comparison_table, describe_claim
from studies.path_drives import Drive
from studies.path_fusion import prepare, quick_plan, study
from studies.path_plan import StagedPlan, StudyPlan, check_untouched, read_constants, read_plan
from studies.path_rules import (
    Constants,
    ShuffledConfidence,
    make_driver,
    pool_columns,
    read_pool,
)
from tests.path_network import replayed_path_model, write_path_network

pytestmark = pytest.mark.studies

CONSTANTS = Constants(map_weight=0.3, share_b=0.1, share_map=0.3)


@pytest.fixture(scope="module")
def plan() -> StudyPlan:
    return read_plan()


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("networks")
    for name in ("a", "b"):
        write_path_network(folder, name)
    return str(folder / "a.onnx"), str(folder / "b.onnx")


def drive(**changes) -> Drive:
    usual = {"town": "T", "route": "r", "seed": 0, "condition": "clear", "system": "fusion"}
    usual |= {"success": 1, "completed": 1.0, "cross_track_m": 0.1, "whole_m": 0.1}
    usual |= {"one_lane_off": 0, "share_b": 1.0, "map_weight": 0.2}
    return Drive(**(usual | changes))


def drives_of(plan: StudyPlan, whole_m: dict[str, float]) -> list[Drive]:
    """Every system's drives of 10 routes in each of 4 towns, with noise that all of them share."""
    rng = np.random.default_rng(0)
    rows = []
    for town in "ABCD":
        for number in range(10):
            shared_m = rng.normal(0.0, 0.05)
            for system, own_m in whole_m.items():
                blind = plan.systems[system].rule == "map"
                for condition in plan.conditions[: 1 if blind else None]:
                    value = own_m + shared_m + rng.normal(0.0, 0.02)
                    place = {"town": town, "route": f"{number}", "condition": condition}
                    rows.append(drive(**place, system=system, whole_m=value))
    return rows


def test_the_plan_fits_together(plan: StudyPlan) -> None:
    planned = {name for stage in plan.stages for name in stage.systems}
    compared = {one.system for one in plan.comparisons}
    compared |= {name for one in plan.comparisons for name in one.minus}
    assert planned | compared <= plan.systems.keys()
    assert compared <= planned, "what is compared is driven"


def test_a_stage_is_balanced_wherever_it_ends(
    plan: StudyPlan, networks: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    mine = plan.model_copy(update={"networks": networks, "towns": ("Millbrook", "Valley")})
    journey = prepare(mine, mine.towns, mine.stages, CONSTANTS)
    assert journey.left_out == ()
    specs = journey.plan.episodes()
    assert len({spec.episode_id for spec in specs}) == len(specs)
    systems = plan.stages[0].systems
    blind = sum(plan.systems[name].rule == "map" for name in systems)
    seeing = len(systems) - blind
    first = specs[: 2 * (seeing * len(plan.conditions) + blind)]
    assert len({spec.route.name for spec in first}) == 2, "one route of each town"
    assert {spec.agent.name for spec in first} == set(systems)
    assert {spec.repetition for spec in first} == {0}
    first_of_a_town = first[: len(first) // 2]
    assert {spec.weather for spec in first_of_a_town} == set(plan.conditions)
    assert {spec.weather for spec in first if spec.agent.name == "map_1"} == {"clear"}


def test_a_missing_town_is_left_out_by_name(plan: StudyPlan, networks: tuple[str, str]) -> None:
    mine = plan.model_copy(update={"networks": networks})
    journey = prepare(mine, ("Millbrook", "Nowhere"), mine.stages[:1], CONSTANTS)
    (sentence,) = journey.left_out
    assert "Nowhere" in sentence


def test_a_network_is_not_judged_where_it_was_trained(
    plan: StudyPlan, tmp_path: Path, networks: tuple[str, str]
) -> None:
    write_path_network(tmp_path, "c", towns=["Train01", "Millbrook"])
    mine = plan.model_copy(update={"networks": (networks[0], str(tmp_path / "c.onnx"))})
    with pytest.raises(DataError, match="trained on Millbrook"):
        check_untouched(mine, plan.towns)


def test_a_short_run_writes_its_record_and_is_not_driven_twice(
    plan: StudyPlan, networks: tuple[str, str], tmp_path: Path
) -> None:
    mine = quick_plan(plan).model_copy(update={"networks": networks})
    assert study(mine, CONSTANTS, tmp_path) in (0, 1)
    first = read_records(tmp_path / "path_fusion.csv", Drive)
    assert [one.system for one in first] == list(mine.stages[0].systems)
    stored = sorted(path.stat().st_mtime_ns for path in tmp_path.glob("drives/episodes/*/*.npz"))
    assert study(mine, CONSTANTS, tmp_path) in (0, 1)
    assert read_records(tmp_path / "path_fusion.csv", Drive) == first
    again = sorted(path.stat().st_mtime_ns for path in tmp_path.glob("drives/episodes/*/*.npz"))
    assert again == stored


def test_what_a_record_holds_is_not_driven_again(
    plan: StudyPlan, networks: tuple[str, str]
) -> None:
    mine = quick_plan(plan).model_copy(update={"networks": networks})
    staged = prepare(mine, mine.towns, mine.stages, CONSTANTS).plan
    fusion, map_1 = staged.episodes()
    known = drive(route=fusion.route.name, condition="patch", system="fusion")
    assert replace(staged, known=frozenset({known.key})).episodes() == [map_1]


@pytest.mark.parametrize(
    "system",
    sorted(read_plan().systems.keys() - {"shuffled_confidence"}),  # it needs the pool
)
def test_every_system_can_be_made(plan: StudyPlan, networks: tuple[str, str], system: str) -> None:
    wanted = plan.systems[system]
    made = make_driver(
        wanted.rule,
        (networks[0], networks[1] if wanted.second else None),
        {"map_weight": 0.3, "share_b": 0.1, "share_map": 0.3},
        wanted.navigation,
        wanted.settings,
    )
    assert (made.camera is None) == (wanted.rule == "map")
    made.close()


def test_a_shuffled_confidence_is_that_of_other_ticks_in_their_order() -> None:
    pool = np.arange(10.0)[:, None] + np.ones(5)
    rule = ShuffledConfidence(FusionSettings(), pool)
    model, _ = replayed_path_model()
    answer = model.predict(np.zeros((64, 160, 3), np.uint8), 5.0, RoadOption.LEFT)
    rule.begin(seed=3)
    stds_m = [float(np.sqrt(rule.see([answer]).variances_m2[0])) for _ in range(30)]
    assert sorted(set(stds_m)) == pytest.approx(range(1, 11))
    assert {round(b - a) for a, b in itertools.pairwise(stds_m)} == {1, -9}
    rule.begin(seed=3)
    assert float(np.sqrt(rule.see([answer]).variances_m2[0])) == stds_m[0]


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    rows = (drive(), drive(system="vision", whole_m=1.25))
    write_records(tmp_path / "x.csv", rows, Drive)
    assert read_records(tmp_path / "x.csv", Drive) == rows


def test_a_map_route_is_compared_in_every_condition(plan: StudyPlan) -> None:
    rows = drives_of(plan, {"fusion": 0.1, "map_1": 0.4})
    paired = Drives(rows, plan).compare("fusion", "map_1")
    assert paired is not None
    assert paired.difference.n == 40 * len(plan.conditions)
    assert paired.difference.value == pytest.approx(-0.3, abs=0.02)


def test_only_equal_town_route_seed_and_condition_are_a_pair(plan: StudyPlan) -> None:
    rows = [
        drive(whole_m=0.1),
        drive(system="vision", whole_m=0.3, success=0),
        drive(system="vision", seed=1, whole_m=9.0),
        drive(system="vision", condition="fog", whole_m=9.0),
        drive(system="vision", town="U", whole_m=9.0),
    ]
    paired = Drives(rows, plan).compare("fusion", "vision", ALL)
    assert paired is not None
    assert (paired.difference.value, paired.difference.n) == (pytest.approx(-0.2), 1)
    assert (paired.won, paired.lost) == (1, 0)


def test_the_claim_names_who_is_beaten_who_is_not_and_who_has_not_driven(
    plan: StudyPlan,
) -> None:
    rows = drives_of(plan, {"fusion": 0.2, "vision": 0.5, "mean": 0.2, "map_1": 0.6})
    drives = Drives(rows, plan)
    assert beaten(drives, plan) == {"vision": True, "mean": False, "map_1": True}
    text = describe_claim(drives, plan)
    assert "fusion beats vision, map_1 at p < 0.01 (Holm for 3 controls)" in text
    assert "Not shown against mean" in text
    assert "constant_weight" in text.split("Not driven yet:")[1]
    assert len(comparison_table(drives, plan).rows) == 3


def test_a_worse_system_is_not_beaten_however_sure_that_is(plan: StudyPlan) -> None:
    rows = drives_of(plan, {"fusion": 0.5, "vision": 0.2})
    assert beaten(Drives(rows, plan), plan) == {"vision": False}


# Lanes --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def town() -> carla.Map:
    return MapStore().load("Ridgeway").carla_map


@pytest.fixture(scope="module")
def street(town: carla.Map) -> Route:
    """The inner of two lanes of a street: on its right is its neighbour, on its left who comes."""

    def is_inner(lane: carla.Waypoint) -> bool:
        left, right = lane.get_left_lane(), lane.get_right_lane()
        return (
            not lane.is_junction
            and right is not None
            and right.lane_type == carla.LaneType.Driving
            and left is not None
            and left.lane_type == carla.LaneType.Driving
            and left.lane_id * lane.lane_id < 0
        )

    lane = next(one for one in town.generate_waypoints(5.0) if is_inner(one))
    points = [lane.transform, lane.next(1.0)[0].transform]
    zero = np.zeros(2)
    return Route(
        name="street",
        town="Ridgeway",
        kind="straight",
        xyz_m=np.array([[one.location.x, one.location.y, one.location.z] for one in points]),
        yaw_rad=np.radians([one.rotation.yaw for one in points]),
        s_m=np.array([0.0, 1.0]),
        command=np.full(2, 4, np.int8),
        in_junction=np.zeros(2, bool),
        lane_width_m=zero + lane.lane_width,
        speed_limit_mps=zero + 10.0,
        target_speed_mps=zero + 10.0,
    )


@pytest.mark.parametrize(
    ("lanes_right", "expected"),
    [(0.0, False), (0.4, False), (0.8, True), (1.0, True), (-1.0, False), (40.0, False)],
)
def test_only_the_lane_beside_it_with_its_own_direction_is_one_lane_off(
    town: carla.Map, street: Route, lanes_right: float, expected: bool
) -> None:
    away_m = lanes_right * street.lane_width_m[0]
    x_m = street.xyz_m[0, 0] - away_m * np.sin(street.yaw_rad[0])
    y_m = street.xyz_m[0, 1] + away_m * np.cos(street.yaw_rad[0])
    place = {"x_m": [x_m], "y_m": [y_m], "z_m": [street.xyz_m[0, 2]], "progress_m": [0.0]}
    end = Trajectory(**({name: [0.0] for name in COLUMNS} | place))
    assert ends_one_lane_off(end, street, town) is expected


# Validation ---------------------------------------------------------------------------------------


def test_the_constants_are_those_of_the_validation_drives(
    plan: StudyPlan,
    networks: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_m = {"vision": 0.5, "second_opinion": 0.4, "recorded_fusion": 0.1}
    own_m |= {"constant_0.15": 0.4, "constant_0.3": 0.2, "constant_0.5": 0.3, "constant_0.7": 0.6}
    std_m = np.linspace(0.0, 2.0, 300)

    def pretend(staged: StagedPlan, folder: Path) -> list[Drive]:
        rows = []
        for spec in staged.episodes():
            columns = {name: np.zeros(300) for name in COLUMNS}
            columns |= {"branch": np.arange(300) % 10 == 0}
            told = dict.fromkeys(pool_columns(), std_m) if "recorded" in spec.agent.name else {}
            record = EpisodeRecord(
                **{name: getattr(spec, name) for name in ("episode_id", "role", "weather", "seed")},
                **{"agent": spec.agent.name, "correction": "none", "repetition": 0, "start": {}},
                **{"route": spec.route.name, "town": spec.route.town, "versions": {}},
                **{"trained_on": "pocket", "driven_on": "pocket", "weather_parameters": {}},
                status=Status.COMPLETED,
                branches=("second_opinion_a", "second_opinion_b_surer"),
                trajectory=Trajectory(**columns, diagnostics=told),
            )
            path = folder / "drives" / "episodes" / spec.episode_id
            path.parent.mkdir(parents=True, exist_ok=True)
            write_episode(path, record)
            where = {"town": spec.route.town, "route": spec.route.name, "condition": spec.weather}
            rows.append(drive(**where, system=spec.agent.name, whole_m=own_m[spec.agent.name]))
        return rows

    monkeypatch.setattr(path_fusion_validation, "drive", pretend)
    valley = plan.validation.model_copy(update={"town": "Valley", "routes": 1})
    mine = plan.model_copy(update={"networks": networks, "validation": valley})
    assert path_fusion_validation.choose(mine, tmp_path) == 0
    chosen = read_constants(tmp_path / "path_fusion_constants.json")
    assert chosen == Constants(map_weight=0.3, share_b=0.1, share_map=0.2)
    pool = read_pool(tmp_path / "path_fusion_pool.csv")
    assert pool.shape == (6 * 125, 5)
    assert pool[:125, 0] == pytest.approx(std_m[100:225], abs=6e-4)


def test_every_town_is_driven_in_every_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    specs = path_towns.drive_plan(("Millbrook",), quick=False).episodes()
    assert {spec.weather for spec in specs} == {"clear", *path_towns.HARD}
    clear = [spec for spec in specs if spec.weather == "clear"]
    assert len({spec.route.name for spec in clear}) == 20
