"""Collected episodes: what a plan holds, how bursts look, how an episode is stored."""

import itertools
import json
from dataclasses import replace

import carla
import cv2
import numpy as np
import pytest

from bicameral.errors import ConfigError, DataError, UserError
from bicameral.progress import points_ahead
from bicameral.types import AGENT_CAMERA, PACE_CAMERA, Pose, RoadOption, Route
from bicameral.units import wrap_rad
from sim.client.traffic import TrafficDensity
from sim.collection.contact_sheet import write_contact_sheet
from sim.collection.legs import bursts, draw_legs
from sim.collection.plan import AHEAD_M, CollectionPlan, Disturbances, RouteMix
from sim.collection.storage import (
    COLUMNS,
    EpisodeWriter,
    find_stored_episodes,
    read_stored_episode,
)
from sim.evaluation.plan import plan_differences
from sim.pocket.map_store import MapStore
from sim.routes.planner import RoutePlanner

pytestmark = pytest.mark.unit

RECORD = {"town": "T", "weather": "clear", "split": "train", "driver": "expert", "frames": 3}


def store(folder, count=3):
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 255, (count, 160, 320, 3), dtype=np.uint8))
    rows = [
        dict.fromkeys(COLUMNS, 0) | {"frame": i, "command": RoadOption.LEFT} for i in range(count)
    ]
    with EpisodeWriter(folder, AGENT_CAMERA) as writer:
        for image, row in zip(images, rows, strict=True):
            writer.add([image], [row])
        writer.finish(RECORD)
    return np.array(images)


def test_a_plan_lists_every_episode_with_a_seed_of_its_own(tmp_path):
    plan = CollectionPlan(
        output=tmp_path, towns=("A", "B"), weathers=("clear", "night"), episodes=3
    )
    episodes = list(plan.episodes_of("expert"))
    assert len(episodes) == 12
    assert len({(e.town, e.episode_id) for e in episodes}) == 12
    assert len({e.entropy for e in episodes}) == 12
    assert {e.entropy for e in episodes}.isdisjoint(
        e.entropy for e in plan.episodes_of("dagger:caril")
    )


def test_more_episodes_keep_the_ones_that_there_were(tmp_path):
    few = CollectionPlan(output=tmp_path, towns=("A",), episodes=2)
    many = CollectionPlan(output=tmp_path, towns=("A", "B"), episodes=3)
    assert set(few.episodes_of("expert")) <= set(many.episodes_of("expert"))
    assert plan_differences(few.describe(), many.describe()) == []


def test_plans_that_differ_name_their_difference(tmp_path):
    plan = CollectionPlan(output=tmp_path, towns=("A",))
    other = CollectionPlan(output=tmp_path, towns=("A",), seed=1, split="test")
    assert plan_differences(plan.describe(), other.describe()) == ["seed", "split"]
    json.dumps(plan.describe())


@pytest.mark.parametrize(
    "wrong",
    [
        {"towns": ()},
        {"towns": ("A", "A")},
        {"weathers": ("hail",)},
        {"split": "exam"},
        {"episodes": 0},
        {"routes": RouteMix(kinds=("uphill",))},
    ],
)
def test_a_wrong_plan_is_a_user_error(tmp_path, wrong):
    with pytest.raises(UserError):
        CollectionPlan(**({"output": tmp_path, "towns": ("A",)} | wrong))


def test_bursts_are_rare_short_bounded_and_repeatable():
    settings = Disturbances()
    offsets = np.array(list(itertools.islice(bursts(settings, 5), 20_000)))
    again = np.array(list(itertools.islice(bursts(settings, 5), 20_000)))
    assert np.array_equal(offsets, again)
    assert np.abs(offsets).max() <= settings.burst_steer
    assert 0.1 < np.mean(offsets != 0.0) < 0.25
    lengths = [len(list(group)) for value, group in itertools.groupby(offsets) if value != 0.0]
    assert max(lengths) <= 20
    assert min(lengths[:-1]) >= 8


def test_an_episode_is_read_back_as_it_was_written(tmp_path):
    images = store(tmp_path / "T" / "e0")
    (episode,) = find_stored_episodes(tmp_path)
    assert isinstance(episode.frames, np.memmap)
    assert np.array_equal(episode.frames, images)
    labels = episode.labels
    assert {name: column.dtype for name, column in labels.items()} == {
        name: np.dtype(dtype) for name, dtype in COLUMNS.items()
    }
    assert labels["frame"].tolist() == [0, 1, 2]
    assert episode.record == RECORD | {"complete": True}


def test_the_same_episode_gives_the_same_bytes(tmp_path):
    store(tmp_path / "T" / "e0")
    store(tmp_path / "T" / "e1")
    for name in ("frames.npy", "labels.npz", "episode.json"):
        first, second = (tmp_path / "T" / e / name for e in ("e0", "e1"))
        assert first.read_bytes() == second.read_bytes()


def test_an_interrupted_episode_leaves_nothing_behind(tmp_path):
    def interrupted():
        with EpisodeWriter(tmp_path / "T" / "e0", AGENT_CAMERA):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "T").iterdir()) == []
    with pytest.raises(DataError, match="no collected episodes"):
        find_stored_episodes(tmp_path)


def test_a_folder_that_is_not_complete_is_refused(tmp_path):
    (tmp_path / "episode.json").write_text('{"complete": false}')
    with pytest.raises(DataError, match="not marked complete"):
        read_stored_episode(tmp_path)


def test_the_contact_sheet_shows_frames_and_histograms(tmp_path):
    store(tmp_path / "T" / "e0")
    write_contact_sheet(tmp_path, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (8 * 160 + 240, 6 * 320, 3)


def test_among_others_the_pictures_are_those_for_the_pace_unless_a_network_steers(tmp_path):
    alone = CollectionPlan(output=tmp_path, towns=("A",))
    among = replace(alone, traffic=TrafficDensity(vehicles=2, walkers=0))
    assert among.camera_of(driven=False) == PACE_CAMERA
    assert {alone.camera_of(driven=False), among.camera_of(driven=True)} == {AGENT_CAMERA}


def test_settings_of_the_plan_are_config_errors(tmp_path):
    with pytest.raises(ConfigError, match="capture_every_ticks is 0"):
        CollectionPlan(output=tmp_path, towns=("A",), capture_every_ticks=0)


def test_the_path_is_stored_as_the_car_sees_it_and_goes_straight_on_at_its_end():
    along_m = np.arange(0.0, 21.0)
    still = np.zeros_like(along_m)
    route = Route(
        name="east",
        town="T",
        kind="straight",
        xyz_m=np.stack([along_m, still, still], axis=1),
        yaw_rad=still,
        s_m=along_m,
        command=np.full(along_m.size, RoadOption.LANE_FOLLOW, np.int8),
        in_junction=np.zeros(along_m.size, bool),
        lane_width_m=still + 3.5,
        speed_limit_mps=still + 10.0,
        target_speed_mps=still + 10.0,
    )
    # The car is 1 m right of the route and points to the right: the route lies to its left.
    seen_m = points_ahead(route, 2.0, Pose(x_m=2.0, y_m=1.0, yaw_rad=np.pi / 2), AHEAD_M)
    assert np.allclose(seen_m[:, 0], -1.0, atol=1e-6)
    assert np.allclose(seen_m[:, 1], [-ahead for ahead in AHEAD_M], atol=1e-5)


def test_a_route_may_begin_in_the_middle_of_a_neighbouring_lane(tmp_path):
    carla_map = MapStore().load("Ridgeway").carla_map
    planner = RoutePlanner(carla_map, "Ridgeway")
    plan = CollectionPlan(
        output=tmp_path,
        towns=("Ridgeway",),
        routes=RouteMix(kinds=("highway",), per_episode=4),
        disturbances=Disturbances(share=0.0, lane_share=1.0),
    )
    legs = draw_legs(planner, plan, next(plan.episodes_of("expert")), np.random.default_rng(0))
    moved = [leg for leg in legs if abs(leg.lane_off_m) > 1.0]
    assert moved
    for leg in moved:
        place = carla.Location(leg.start.x_m, leg.start.y_m, leg.start.z_m)
        waypoint = carla_map.get_waypoint(place)
        yaw_rad = np.radians(waypoint.transform.rotation.yaw)
        assert place.distance(waypoint.transform.location) < 0.3
        assert abs(wrap_rad(yaw_rad - leg.start.yaw_rad)) < 0.1
